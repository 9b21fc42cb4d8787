package nodes

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Client is a machine outside of the cluster.
type Client struct {
	Namespace
	// Addr and Addr6 are its addresses on the rack's network.
	Addr, Addr6 netip.Addr

	port port
}

// Get requests url over a connection of its own and returns the body without
// its trailing newline. A status other than 200 is an error. It takes 5 s at most.
func (n *Namespace) Get(url string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := n.HTTP(false).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get %s: %s", url, resp.Status)
	}
	return strings.TrimSuffix(string(body), "\n"), nil
}
