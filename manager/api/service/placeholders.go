package service

import (
	"fmt"
	"regexp"
	"strings"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
)

// placeholder is what Docker fills in when it makes a task: a field of its
// service, node or task.
var placeholder = regexp.MustCompile(`\{\{-?\s*\.(Service|Node|Task)\.[A-Za-z.]{1,40}\s*-?\}\}`)

// placeholderWarnings tells of the first variable that hopes for Docker's
// templates. It may hold such text for a program of its own, so it is taken.
func placeholderWarnings(s *clusterpb.ServiceSpec) []string {
	for _, entry := range pod.Main(s.GetTask()).GetEnv() {
		name, value, _ := strings.Cut(entry, "=")
		if found := placeholder.FindString(value); found != "" {
			return []string{fmt.Sprintf("the environment variable %s keeps %s as it is written: nothing is filled in", name, found)}
		}
	}
	return nil
}
