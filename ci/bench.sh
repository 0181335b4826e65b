# What ci/bench-install and ci/bench-ha share: fresh hosts, a stopwatch, and the files that a person who works by hand has ready.
# Sourced after ci/common.sh; the caller sets $lab to the name of its lab.

work="$(mktemp -d -p "$PWD/target")"
trap 'rm -rf "$work"; ./ci/lab down --name "$lab" 2>/dev/null || true' EXIT
bundle="$work/bundle.tar.zst"
key="$work/signing.pub"
# kubeadm 1.35 and later refuse a host with cgroup v1, as the lab's are: a person has to pass it over, as kinstall does.
kubeadm_tolerance=--ignore-preflight-errors=SystemVerification

# Uses the network that needs no add-on: an add-on takes the same time in both ways, and would make their ratio smaller.
build_bundle() { # KUBERNETES-VERSION
    target/dist/kbundle keygen --out "$work/signing.key" >/dev/null
    with_mirror target/dist/kbundle build --k8s "$1" --cni bridge --level 3 --key "$work/signing.key" --out "$bundle"
}

# After the first call of ./ci/lab the program is built, and calling it itself takes no time off the stopwatch.
lab_program() { "${CARGO_TARGET_DIR:-target}/debug/lab" "$@"; }
on() { lab_program exec --name "$lab" "$1" "$2"; }
push() { lab_program push --name "$lab" "$1" "$2" "$3"; }

fresh_hosts() {
    ./ci/lab down --name "$lab" >/dev/null 2>&1 || true
    ./ci/lab up "$1" --name "$lab" >/dev/null
}

# seconds COMMAND...: wall time in tenths of a second, output to the log. The shell does not end a function that is called so at
# its first failure: join its commands by &&.
seconds() {
    local start end
    start=$(date +%s%N)
    "$@" >>"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2; fail "failed: $*"; }
    end=$(date +%s%N)
    awk -v nanoseconds=$((end - start)) 'BEGIN { printf "%.1f", nanoseconds / 1e9 }'
}

ratio() { awk -v one="$1" -v other="$2" 'BEGIN { printf "%.2f", one / other }'; }

# What the bundle holds, as files that need no tool of this project.
unpack_bundle() { # DIR
    mkdir "$1"
    tar --zstd -xf "$bundle" -C "$1"
}

# One host by kinstall; its configuration is then what the person has ready.
one_host_by_kinstall() {
    on host-1 "cd /root && ./kinstall run bundle.tar.zst --key signing.pub" && wait_until_ready 1
}

carry_to_one_host() {
    local file
    for file in target/dist/kinstall "$bundle" "$key"; do push host-1 "$file" /root/; done
}

take_configuration() { # -> $work/configuration.tar and $work/Corefile
    on host-1 "sed -n 's/.*\"change\":\"\\(created\\|replaced\\|edited\\)-file\",\"path\":\"\\([^\"]*\\)\".*/\\2/p' /var/lib/kinstall/ledger.jsonl |
        grep '^/etc/' | grep -vE 'kinstall-(images|certificates)' | tar -cf - -P -T -" >"$work/configuration.tar"
    on host-1 "kubectl -n kube-system get configmap coredns -o jsonpath='{.data.Corefile}'" >"$work/Corefile"
}

# Every way stops the clock at the same state: all nodes Ready, CoreDNS and kube-proxy rolled out, all the system's pods running.
wait_until_ready() { # NODES
    on host-1 "
        for attempt in \$(seq 600); do
            [ \"\$(kubectl get nodes --no-headers | wc -l)\" != $1 ] || break
            sleep 0.5
        done
        [ \"\$(kubectl get nodes --no-headers | wc -l)\" = $1 ] &&
        kubectl wait --for=condition=Ready node --all --timeout=300s &&
        kubectl -n kube-system rollout status daemonset/kube-proxy --timeout=300s &&
        kubectl -n kube-system rollout status deployment/coredns --timeout=300s &&
        while kubectl -n kube-system get pods --no-headers | grep -v ' Running '; do sleep 0.5; done"
}

# The programs of Kubernetes, containerd running, the images in it: for a host that has the unpacked bundle in /root/carried and its
# own configuration in /root/configuration.tar.
cat >"$work/install" <<'INSTALL'
set -eu
cd /root/carried
artifacts=artifacts/linux-amd64
mkdir -p /opt/cni/bin /usr/local/bin
install -m 755 $artifacts/kubelet $artifacts/kubeadm $artifacts/kubectl /usr/local/bin/
install -m 755 $artifacts/runc* /usr/local/bin/runc
tar -xzf $artifacts/containerd-*.tar.gz -C /usr/local
tar -xzf $artifacts/crictl-*.tar.gz -C /usr/local/bin
tar -xzf $artifacts/etcd-*.tar.gz -C /usr/local/bin --strip-components=1
tar -xzf $artifacts/cni-plugins-*.tgz -C /opt/cni/bin
useradd --system --no-create-home --shell /usr/sbin/nologin etcd
tar -xf /root/configuration.tar -C /
install -d -o etcd -g etcd -m 700 /var/lib/etcd
install -d -m 700 /var/log/kubernetes/audit
[ ! -e /etc/etcd/pki ] || chown etcd:etcd /etc/etcd/pki/server.key /etc/etcd/pki/peer.key
mv /etc/cni/net.d/10-kinstall.conflist /root/
sysctl -q --system
systemctl daemon-reload
systemctl start containerd
tar -cf - oci-layout index.json blobs | ctr -n k8s.io images import - >/dev/null
systemctl enable --quiet containerd kubelet
INSTALL

# The first control plane, once etcd runs.
cat >"$work/init" <<'INIT'
set -eu
kubeadm init --config /etc/kubernetes/kubeadm.yaml $KUBEADM_OPTIONS >/root/init.log
mkdir -p /root/.kube
cp /etc/kubernetes/admin.conf /root/.kube/config
kubectl -n kube-system create configmap coredns --from-file=/root/Corefile --dry-run=client -o yaml | kubectl replace -f -
INIT

# This host's pods, once its node has its range of addresses.
cat >"$work/connect" <<'CONNECT'
set -eu
until cidr="$(kubectl get node $(hostname) -o jsonpath='{.spec.podCIDR}')" && [ -n "$cidr" ]; do sleep 1; done
sed "s#\"subnet\": \"[^\"]*\"#\"subnet\": \"$cidr\"#" /root/10-kinstall.conflist >/etc/cni/net.d/10-kinstall.conflist
CONNECT
