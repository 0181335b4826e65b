// Prints the types of kubelet's and kube-proxy's configuration as JSON. Run by ci/kubernetes-types in a module that requires the
// versions of one Kubernetes.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeproxy "k8s.io/kube-proxy/config/v1alpha1"
	kubelet "k8s.io/kubelet/config/v1beta1"
)

// structures maps each structure's name to its fields, and each field to its type.
type structures map[string]map[string]string

// known are types that are written otherwise than Go's reflection says.
var known = map[reflect.Type]string{
	reflect.TypeOf(metav1.Duration{}):   "duration",
	reflect.TypeOf(metav1.Time{}):       "string",
	reflect.TypeOf(resource.Quantity{}): "quantity",
}

func (s structures) name(t reflect.Type) string {
	if name, is := known[t]; is {
		return name
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.name(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "string"
		}
		return "[]" + s.name(t.Elem())
	case reflect.Map:
		return "map:" + s.name(t.Elem())
	case reflect.Struct:
		s.add(t)
		return "#" + t.Name()
	case reflect.Bool, reflect.String:
		return t.Kind().String()
	case reflect.Float32, reflect.Float64:
		return "float"
	default:
		// Integers, with their width: int32, uint16 and so on.
		return t.Kind().String()
	}
}

func (s structures) add(t reflect.Type) {
	if _, is := s[t.Name()]; is {
		return
	}
	custom := reflect.TypeOf((*json.Unmarshaler)(nil)).Elem()
	if reflect.PointerTo(t).Implements(custom) {
		// It reads itself, so that its fields say nothing of its form in a file.
		s[t.Name()] = map[string]string{"*": "any"}
		return
	}
	fields := map[string]string{}
	s[t.Name()] = fields
	s.collect(t, fields)
}

func (s structures) collect(t reflect.Type, fields map[string]string) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || !field.IsExported() {
			continue
		}
		if name == "" && (field.Anonymous || strings.Contains(options, "inline")) {
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			s.collect(inner, fields)
			continue
		}
		if name == "" {
			name = field.Name
		}
		fields[name] = s.name(field.Type)
	}
}

func main() {
	found := structures{}
	found.add(reflect.TypeOf(kubelet.KubeletConfiguration{}))
	found.add(reflect.TypeOf(kubeproxy.KubeProxyConfiguration{}))
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
