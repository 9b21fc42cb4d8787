package listen_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/dispatcher/listen"
	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/mtls/mtlstest"
	"github.com/muster/muster/proto/call"
)

// portOfStrangers is a control port where nodes and strangers are told what they
// are taken for, and kept.
func portOfStrangers(t *testing.T, ca *mtlstest.CA) (addr string) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := mtls.Server{
		Credentials: mtlstest.Holding(ca.Issue("m1", mtlstest.Manager)).Current,
		Protocols:   map[string]call.Callers{listen.ProtocolGRPC: call.Anyone},
	}.TLS()
	l := listen.New(inner, config, slog.New(slog.DiscardHandler))
	for name, from := range map[string]net.Listener{"node": l.For(listen.ProtocolGRPC), "stranger": l.ForStrangers()} {
		go func() {
			for {
				conn, err := from.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = fmt.Fprint(conn, name)
					_, _ = io.Copy(io.Discard, conn)
					_ = conn.Close()
				}()
			}
		}()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return inner.Addr().String()
}

// visit opens a connection from an address, and says who is served there.
func visit(t *testing.T, from, to string, config *tls.Config) (conn net.Conn, served string) {
	t.Helper()
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	raw, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	if config == nil {
		return raw, ""
	}
	conn = tls.Client(raw, config)
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	said := make([]byte, 16)
	n, _ := conn.Read(said)
	return conn, string(said[:n])
}

// TestStrangersAreFew: who shows no certificate takes nothing away from nodes,
// nor from strangers elsewhere.
func TestStrangersAreFew(t *testing.T) {
	ca := mtlstest.New(t, "c1")
	addr := portOfStrangers(t, ca)
	unknown := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{listen.ProtocolGRPC}}
	known := mtls.ClientTLS(mtlstest.Holding(ca.Issue("w1", mtlstest.Worker)).Current, mtls.AnyManager(), listen.ProtocolGRPC)
	var open []net.Conn
	for i := range 16 {
		conn, served := visit(t, "127.0.0.2", addr, unknown)
		if served != "stranger" {
			t.Fatalf("stranger %d is served as %q", i, served)
		}
		open = append(open, conn)
	}
	if _, served := visit(t, "127.0.0.2", addr, unknown); served != "" {
		t.Errorf("one more stranger of that address is served as %q", served)
	}
	if _, served := visit(t, "127.0.0.3", addr, unknown); served != "stranger" {
		t.Errorf("a stranger elsewhere is served as %q", served)
	}
	if _, served := visit(t, "127.0.0.2", addr, known); served != "node" {
		t.Errorf("a node of that address is served as %q", served)
	}
	_ = open[0].Close()
	for deadline := time.Now().Add(5 * time.Second); ; { // the server has to read the end
		if _, served := visit(t, "127.0.0.2", addr, unknown); served == "stranger" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no stranger is served in the place of one that left")
		}
	}
}

// lines is what is logged.
type lines struct {
	mu  sync.Mutex
	log strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}

// TestRefusalsAreToldSeldom: who is refused again and again does not fill the log.
func TestRefusalsAreToldSeldom(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log lines
	config := mtls.Server{Credentials: mtlstest.Holding(mtlstest.New(t, "c1").Issue("m1", mtlstest.Manager)).Current}.TLS()
	l := listen.New(inner, config, slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	for i := range 100 {
		conn, _ := visit(t, fmt.Sprint("127.0.0.", 2+i%2), inner.Addr().String(), nil)
		_, _ = fmt.Fprint(conn, "GET / HTTP/1.1\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn) // until it is refused
		_ = conn.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, from := range []string{"addr=127.0.0.2:", "addr=127.0.0.3:"} {
		if n := strings.Count(log.String(), from); n < 1 || n > 3 { // a few where this takes long
			t.Errorf("%d lines of %s, want one:\n%s", n, from, log.String())
		}
	}
}

// TestHalfOpenHandshakes of one address leave room for the others.
func TestHalfOpenHandshakes(t *testing.T) {
	ca := mtlstest.New(t, "c1")
	addr := portOfStrangers(t, ca)
	for range 600 { // more than there may be in all
		visit(t, "127.0.0.2", addr, nil)
	}
	known := mtls.ClientTLS(mtlstest.Holding(ca.Issue("w1", mtlstest.Worker)).Current, mtls.AnyManager(), listen.ProtocolGRPC)
	if _, served := visit(t, "127.0.0.3", addr, known); served != "node" {
		t.Errorf("a node elsewhere is served as %q", served)
	}
}
