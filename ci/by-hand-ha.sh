# Five hosts by hand: what a practised person does who has every file ready and one machine that reaches all hosts over SSH. Sourced by
# ci/bench-ha, after ci/bench.sh. host-1 to host-3 are control planes with etcd, host-4 and host-5 workers.
#
# What is independent goes side by side (copying, installing, importing, etcd's start, the workers); what is not goes one after another,
# as kubeadm's own guide has it. Copying sends every host the same files.

control_planes=(host-1 host-2 host-3)
workers=(host-4 host-5)
everyone=("${control_planes[@]}" "${workers[@]}")
api=api.kubernetes.internal
hand="$work/hand"

address_of() { echo "10.77.0.$((10 + ${1#host-}))"; }

# each FUNCTION HOST...: side by side; fails when one does.
each() {
    local function="$1" host pids=() pid
    shift
    for host; do "$function" "$host" & pids+=($!); done
    for pid in "${pids[@]}"; do
        wait "$pid" || { echo "$function failed on one of: $*"; return 1; }
    done
}

# ---- before the clock: each host's files, made from those of the one host that kinstall set up ----

prepare_files() {
    local host
    for host in "${everyone[@]}"; do
        mkdir -p "$hand/$host"
        tar -xf "$work/configuration.tar" -P -C "$hand/$host" --transform 's,^/,,'
        write_hosts_file "$host"
        case " ${control_planes[*]} " in
            *" $host "*) prepare_control_plane "$host" ;;
            *) prepare_worker "$host" ;;
        esac
        (cd "$hand/$host" && tar -cf "../$host.tar" --owner=0 --group=0 etc)
    done
}

# A control plane asks itself first, a worker its own HAProxy; until those run, and when they fail, the others answer.
write_hosts_file() { # HOST
    local host="$1" first other
    first="$(address_of "$host")"
    case " ${workers[*]} " in *" $host "*) first=127.0.0.1 ;; esac
    {
        echo "127.0.0.1 localhost"
        for other in "${everyone[@]}"; do echo "$(address_of "$other") $other"; done
        echo "$first $api"
        for other in "${control_planes[@]}"; do [ "$other" = "$host" ] || echo "$(address_of "$other") $api"; done
    } >"$hand/$host/etc/hosts"
}

prepare_control_plane() { # HOST
    local host="$1" etc="$hand/$1/etc" address member cluster=""
    address="$(address_of "$host")"
    for member in "${control_planes[@]}"; do cluster+=",$member=https://$(address_of "$member"):2380"; done
    sed -i -e "s#^initial-cluster: .*#initial-cluster: ${cluster#,}#" -e "s#^name: .*#name: $host#" "$etc/etcd/etcd.yaml"
    sed -i -e "/^initial-cluster:/!s#10\.77\.0\.11#$address#g" "$etc/etcd/etcd.yaml"
    [ "$host" = host-1 ] || issue_etcd_certificates "$host" "$etc/etcd/pki"
    rm "$etc/etcd/pki/ca.key"
    if [ "$host" != host-1 ]; then
        rm -r "$etc/kubernetes/kubeadm.yaml" "$etc/kubernetes/pki"
        return
    fi
    sed -i -e "s#^    - https://10\.77\.0\.11:2379#&\n    - https://10.77.0.12:2379\n    - https://10.77.0.13:2379#" \
        -e "0,/^kind: InitConfiguration/s##&\ncertificateKey: $(openssl rand -hex 32)#" "$etc/kubernetes/kubeadm.yaml"
}

issue_etcd_certificates() { # HOST DIR
    local name
    for name in server peer; do
        openssl ecparam -name prime256v1 -genkey -noout -out "$2/$name.key"
        openssl req -new -key "$2/$name.key" -subj "/CN=$1" -out "$2/$name.csr"
        openssl x509 -req -in "$2/$name.csr" -CA "$2/ca.crt" -CAkey "$2/ca.key" -CAcreateserial -days 365 -out "$2/$name.crt" -extfile <(
            printf 'subjectAltName=DNS:%s,DNS:localhost,IP:%s,IP:127.0.0.1\n' "$1" "$(address_of "$1")"
            printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n'
        ) 2>>"$work/log"
        rm "$2/$name.csr"
    done
    rm -f "$2/ca.srl"
}

# kubeadm wants an empty folder of manifests, so HAProxy's waits aside until the worker has joined.
prepare_worker() { # HOST
    local etc="$hand/$1/etc" server
    rm -r "$etc/etcd" "$etc/systemd/system/etcd.service" "$etc/kubernetes"
    mkdir -p "$etc/haproxy"
    {
        printf 'defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 1h\n  timeout server 1h\n'
        printf 'frontend api\n  bind 127.0.0.1:6443\n  default_backend control-planes\nbackend control-planes\n'
        printf '  default-server check inter 2s fall 2 rise 1 on-marked-down shutdown-sessions\n'
        for server in "${control_planes[@]}"; do echo "  server $server $(address_of "$server"):6443"; done
    } >"$etc/haproxy/haproxy.cfg"
    cat >"$etc/haproxy/pod.yaml" <<'POD'
apiVersion: v1
kind: Pod
metadata: {name: haproxy, namespace: kube-system}
spec:
  hostNetwork: true
  priorityClassName: system-node-critical
  containers:
  - name: haproxy
    image: docker.io/library/haproxy:2.6.12
    volumeMounts: [{name: configuration, mountPath: /usr/local/etc/haproxy, readOnly: true}]
  volumes: [{name: configuration, hostPath: {path: /etc/haproxy}}]
POD
}

# ---- under the clock ----

phase() { # NAME COMMAND...
    local taken
    taken="$(seconds "${@:2}")"
    printf '    %-42s %6s s\n' "$1" "$taken"
}

copy_files() { # HOST
    tar -C "$work" -cf - carried Corefile | on "$1" "tar -C /root -xf - --no-same-owner" &&
        on "$1" "cat >/root/configuration.tar" <"$hand/$1.tar"
}

install_host() { lab_program exec --name "$lab" "$1" sh -eu -s <"$work/install"; }
start_etcd() { on "$1" "systemctl enable --quiet --now etcd"; }

init_first() {
    { echo "export KUBEADM_OPTIONS='--upload-certs $kubeadm_tolerance'"; cat "$work/init"; } | lab_program exec --name "$lab" host-1 sh -eu -s
}

read_join_command() {
    join_command="$(on host-1 "kubeadm token create --print-join-command 2>/dev/null") --cri-socket unix:///run/containerd/containerd.sock $kubeadm_tolerance"
    certificate_key="$(sed -n 's/^certificateKey: //p' "$hand/host-1/etc/kubernetes/kubeadm.yaml")"
}

join_control_plane() { # HOST
    on "$1" "$join_command --control-plane --certificate-key $certificate_key --apiserver-advertise-address $(address_of "$1")" &&
        on "$1" "mkdir -p /root/.kube && cp /etc/kubernetes/admin.conf /root/.kube/config"
}

join_worker() { # HOST
    on "$1" "$join_command && install -D -m 600 /etc/haproxy/pod.yaml /etc/kubernetes/manifests/haproxy.yaml"
}

# A kubelet's own credentials may read its node.
connect_host() { # HOST
    { echo 'export KUBECONFIG=/etc/kubernetes/kubelet.conf'; cat "$work/connect" "$hand/routes"; } |
        lab_program exec --name "$lab" "$1" sh -eu -s
}

read_routes() {
    on host-1 'kubectl get nodes -o jsonpath="{range .items[*]}{.metadata.name} {.spec.podCIDR} {.status.addresses[0].address}{\"\n\"}{end}"' |
        awk 'NF == 3 { print "[ $(hostname) = " $1 " ] || ip route replace " $2 " via " $3 }' >"$hand/routes"
    [ "$(wc -l <"$hand/routes")" = 5 ] || fail "not every node has a range of addresses: $(cat "$hand/routes")"
}

connect_all() {
    until read_routes; do sleep 1; done
    each connect_host "${everyone[@]}"
}

# The two workers' HAProxy counts too.
by_hand_ready() {
    until [ "$(on host-1 "kubectl -n kube-system get pods --no-headers" | grep -c '^haproxy-')" = 2 ]; do sleep 0.5; done
    wait_until_ready 5
}

by_hand() {
    phase "copy to five hosts (side by side)" each copy_files "${everyone[@]}"
    phase "install and import (side by side)" each install_host "${everyone[@]}"
    phase "etcd on three (side by side)" each start_etcd "${control_planes[@]}"
    phase "kubeadm init" init_first
    read_join_command
    phase "join the second control plane" join_control_plane host-2
    phase "join the third control plane" join_control_plane host-3
    phase "join the workers (side by side)" each join_worker "${workers[@]}"
    phase "pod network and routes (side by side)" connect_all
    phase "until all is ready" by_hand_ready
}
