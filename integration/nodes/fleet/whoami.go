package fleet

import (
	"fmt"
	"strings"

	"github.com/muster/muster/integration/nodes"
)

// Asked is what nginx's /whoami answers: which replica, and whom it saw.
type Asked struct{ Replica, Client string }

// Ask requests /whoami n times from one machine and returns what was answered.
func Ask(from *nodes.Namespace, url string, n int) (answers []Asked, err error) {
	for range n {
		body, err := from.Get(url)
		if err != nil {
			return answers, err
		}
		replica, client, ok := strings.Cut(strings.TrimSpace(body), " ")
		if !ok {
			return answers, fmt.Errorf("%s answered %q", url, body)
		}
		answers = append(answers, Asked{replica, client})
	}
	return answers, nil
}

// Replicas counts the different ones.
func Replicas(answers []Asked) int {
	seen := make(map[string]bool)
	for _, a := range answers {
		seen[a.Replica] = true
	}
	return len(seen)
}
