package text

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"github.com/muster/muster/proto/docker"
)

// Change is one field that differs. An empty From means that it is added, an
// empty To that it is removed.
type Change struct {
	// Field is its path: "TaskTemplate.ContainerSpec.Image".
	Field    string
	From, To string
}

// Diff lists what differs between two specs, by path.
func Diff(from, to docker.ServiceSpec) []Change {
	a, b := flatten(from), flatten(to)
	paths := slices.Sorted(maps.Keys(a))
	for p := range b {
		if _, ok := a[p]; !ok {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	var changes []Change
	for _, p := range paths {
		if a[p] != b[p] {
			changes = append(changes, Change{p, a[p], b[p]})
		}
	}
	return changes
}

// flatten maps the path of every field that is set to its text. Lists are
// taken whole: their elements have no names.
func flatten(s docker.ServiceSpec) map[string]string {
	leaves := make(map[string]string)
	var visit func(path string, v reflect.Value)
	visit = func(path string, v reflect.Value) {
		if v.IsZero() {
			return
		}
		if d, ok := reflect.TypeAssert[time.Duration](v); ok {
			leaves[path] = d.String()
			return
		}
		switch v.Kind() {
		case reflect.Pointer:
			if v.Elem().Kind() == reflect.Struct {
				visit(path, v.Elem())
			} else {
				leaves[path] = fmt.Sprint(v.Elem().Interface()) // also a zero that was asked for
			}
		case reflect.Struct:
			for i := range v.NumField() {
				name := "." + v.Type().Field(i).Name
				if v.Type().Field(i).Anonymous {
					name = "" // its fields are those of the struct
				}
				visit(strings.TrimPrefix(path+name, "."), v.Field(i))
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				leaves[path+"."+k.String()] = fmt.Sprintf("%q", v.MapIndex(k).String())
			}
		case reflect.Slice:
			if v.Len() > 0 {
				leaves[path] = list(v)
			}
		case reflect.String:
			leaves[path] = v.String()
		default:
			leaves[path] = fmt.Sprint(v.Interface())
		}
	}
	visit("", reflect.ValueOf(s))
	return leaves
}

// list is the text of a list's elements; ports as people write them.
func list(v reflect.Value) string {
	texts := make([]string, v.Len())
	for i := range texts {
		switch e := v.Index(i).Interface().(type) {
		case string, netip.Addr:
			texts[i] = fmt.Sprintf("%q", e)
		case swarm.PortConfig:
			texts[i] = portText(e)
		case swarm.PlacementPreference:
			texts[i] = "spread=" + e.Spread.SpreadDescriptor
		default:
			texts[i] = fmt.Sprintf("%+v", e)
		}
	}
	return "[" + strings.Join(texts, " ") + "]"
}
