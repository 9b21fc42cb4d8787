package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// client requests over sockets of its own, one at a time.
type client struct {
	cfg    Config
	closed *atomic.Uint64
	kept   map[string]*conn // by host
}

// conn is a connection and what was read from it ahead.
type conn struct {
	net.Conn
	answers *bufio.Reader
}

// get requests address, and once more if the server had closed the
// connection that was kept.
func (c *client) get(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(c.cfg.Timeout)
	if kept := c.kept[u.Host]; kept != nil {
		delete(c.kept, u.Host)
		err := c.ask(kept, u, deadline)
		if !goodbye(err) {
			return err
		}
		c.closed.Add(1)
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	made, err := c.cfg.Dial(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	return c.ask(&conn{made, bufio.NewReader(made)}, u, deadline)
}

// errUnanswered wraps what ended a connection before the first byte of an answer.
var errUnanswered = errors.New("no answer")

// goodbye reports whether the server closed the connection before it
// answered: it says so at once, or resets what comes when it already had.
func goodbye(err error) bool {
	return errors.Is(err, errUnanswered) &&
		(errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
}

// ask makes one request over the connection, and keeps or closes it.
func (c *client) ask(over *conn, u *url.URL, deadline time.Time) error {
	keep := false
	defer func() {
		if keep {
			c.kept[u.Host] = over
		} else {
			over.Close()
		}
	}()
	if err := over.SetDeadline(deadline); err != nil {
		return err
	}
	mode := "close"
	if c.cfg.KeepAlive {
		mode = "keep-alive"
	}
	request := "GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\nConnection: " + mode + "\r\n\r\n"
	if _, err := io.Copy(over, strings.NewReader(request)); err != nil {
		return fmt.Errorf("%w: %w", errUnanswered, err)
	}
	if _, err := over.answers.Peek(1); err != nil {
		return fmt.Errorf("%w: %w", errUnanswered, err)
	}
	answer, err := http.ReadResponse(over.answers, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	if err == nil && answer.StatusCode >= http.StatusInternalServerError {
		err = fmt.Errorf("%s: %s", u, answer.Status)
	}
	keep = err == nil && c.cfg.KeepAlive && !answer.Close
	return err
}

func (c *client) close() {
	for _, k := range c.kept {
		k.Close()
	}
}
