package stories

import (
	"testing"

	"github.com/muster/muster/integration/pack"
)

func TestThreeReplicasAnswerThroughEveryNode(t *testing.T) {
	path := image(t, pack.Nginx("nginx:latest"))
	c := start(t, 3, 3)
	first := c.Nodes[0]
	c.load(first, path)
	t.Log(first.MustMuster("node", "ls"))
	t.Log(first.MustMuster("service", "create", "--replicas", "3", "--name", "web-server", "-p", "8111:80", "nginx:latest"))
	t.Log(first.MustMuster("service", "ps", "web-server"))
}
