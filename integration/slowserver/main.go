// Command slowserver is a web server that is slow to start and slow to stop,
// for tests of rollouts: it listens late, is healthy later, and on SIGTERM
// goes on answering for a while before it ends. It answers UDP as well.
//
// Environment: START_DELAY (default 1s) until it listens, HEALTH_DELAY
// (default 1s) until /health answers 200, STOP_DELAY (default 1s) between
// SIGTERM and the end, ANSWER_DELAY (default 20ms) for each request, FAIL=1
// to never become healthy, VERSION to tell by /version.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "slowserver:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	wait(ctx, delay("START_DELAY", time.Second))
	healthy := time.Now().Add(delay("HEALTH_DELAY", time.Second))
	answer := delay("ANSWER_DELAY", 20*time.Millisecond)
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if os.Getenv("FAIL") == "1" || time.Now().Before(healthy) {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, os.Getenv("VERSION")) })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(answer)
		name, _ := os.Hostname()
		fmt.Fprintln(w, name, os.Getenv("VERSION"))
	})
	server := &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- server.ListenAndServe() }()
	go func() { failed <- answerUDP(ctx, ":8080") }()
	fmt.Println("serving", os.Getenv("VERSION"))
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	fmt.Println("stopping")
	time.Sleep(delay("STOP_DELAY", time.Second))
	bound, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(bound); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// answerUDP answers every datagram with the name of the host, for ever.
func answerUDP(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(context.WithoutCancel(ctx), "udp", addr)
	if err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	buf := make([]byte, 1500)
	for {
		_, from, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		if _, err := conn.WriteTo([]byte(name), from); err != nil {
			return err
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func delay(name string, unset time.Duration) time.Duration {
	d, err := time.ParseDuration(os.Getenv(name))
	if err != nil {
		return unset
	}
	return d
}
