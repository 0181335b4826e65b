// The lab's stand-in for crictl: the subcommands that kubeadm calls, over the kubelet's own CRI
// client (v1alpha2). Built inside Debian's Kubernetes source tree where cri-tools cannot be had.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1alpha2"
	"k8s.io/kubernetes/pkg/kubelet/cri/remote"
)

const (
	usage = "usage: crictl [-r SOCKET] info | inspecti IMAGE | pull IMAGE | images | pods [-q] | stopp POD... | rmp POD... | version"

	// A pull may take long; everything else answers at once.
	timeout = 10 * time.Minute
)

func main() {
	var endpoint string
	flag.StringVar(&endpoint, "r", "unix:///run/containerd/containerd.sock", "the runtime's socket")
	flag.StringVar(&endpoint, "runtime-endpoint", "unix:///run/containerd/containerd.sock", "the runtime's socket")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = "unix://" + endpoint
	}
	if err := run(endpoint, flag.Arg(0), flag.Args()[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crictl:", err)
		os.Exit(1)
	}
}

func run(endpoint, command string, args []string) error {
	runtimes, err := remote.NewRemoteRuntimeService(endpoint, timeout)
	if err != nil {
		return err
	}
	images, err := remote.NewRemoteImageService(endpoint, timeout)
	if err != nil {
		return err
	}

	switch command {
	case "version":
		version, err := runtimes.Version("")
		return printJSON(version, err)
	case "info":
		status, err := runtimes.Status()
		return printJSON(map[string]interface{}{"status": status}, err)
	case "images":
		list, err := images.ListImages(nil)
		return printJSON(list, err)
	case "pods":
		pods, err := runtimes.ListPodSandbox(nil)
		for _, pod := range pods {
			fmt.Println(pod.Id)
		}
		return err
	}

	if len(args) == 0 {
		return fmt.Errorf("%s\n%s", command, usage)
	}
	for _, arg := range args {
		if err := each(runtimes, images, command, arg); err != nil {
			return err
		}
	}
	return nil
}

type runtimeService interface {
	StopPodSandbox(id string) error
	RemovePodSandbox(id string) error
}

type imageService interface {
	ImageStatus(*runtimeapi.ImageSpec) (*runtimeapi.Image, error)
	PullImage(*runtimeapi.ImageSpec, *runtimeapi.AuthConfig, *runtimeapi.PodSandboxConfig) (string, error)
}

func each(runtimes runtimeService, images imageService, command, arg string) error {
	switch command {
	case "stopp":
		return runtimes.StopPodSandbox(arg)
	case "rmp":
		return runtimes.RemovePodSandbox(arg)
	case "pull":
		_, err := images.PullImage(&runtimeapi.ImageSpec{Image: arg}, nil, nil)
		return err
	case "inspecti":
		image, err := images.ImageStatus(&runtimeapi.ImageSpec{Image: arg})
		if err == nil && image == nil {
			err = fmt.Errorf("no such image %q present", arg)
		}
		return printJSON(map[string]interface{}{"status": image}, err)
	}
	return fmt.Errorf("unknown command %s\n%s", command, usage)
}

func printJSON(value interface{}, err error) error {
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
