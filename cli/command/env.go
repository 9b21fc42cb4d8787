package command

import (
	"context"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/term"

	controlpb "github.com/muster/muster/proto/control/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// Env is the world as a command sees it; a test makes its own.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	// Terminal tells that Out is a terminal, on which progress is redrawn in
	// place. Width is its columns; 0 when unknown.
	Terminal bool
	Width    int

	// LookupEnv reads a variable of the process's environment.
	LookupEnv func(string) (string, bool)
	// Now is the clock ages are counted from.
	Now func() time.Time
	// Version of this program.
	Version string

	// Patience bounds how long the daemon may take to answer a new connection;
	// 5 s when 0.
	Patience time.Duration

	// Control, Images and Local dial on first use. Images and Local are of the
	// daemon of this machine, and are not there when Host is another one.
	Control func() (controlpb.Client, error)
	Images  func() (controlpb.ImageServiceClient, error)
	Local   func() (nodepb.LocalServiceClient, error)

	// Dial connects to a daemon's socket or port; nil is the machine's network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Host is where the daemon listens, unix://PATH or tcp://HOST[:PORT];
	// empty is DefaultHost. Identity is the directory of the node certificate
	// shown to a tcp host; empty is DefaultIdentity.
	Host     string
	Identity string
}

// NewEnv returns the environment of a process with these streams. Close the
// returned function's connection when the command is done.
func NewEnv(in io.Reader, out, err *os.File, version string) (env *Env, closeConn func() error) {
	env = &Env{In: in, Out: out, Err: err, LookupEnv: os.LookupEnv, Now: time.Now, Version: version}
	if fd := int(out.Fd()); term.IsTerminal(fd) {
		env.Terminal = true
		env.Width, _, _ = term.GetSize(fd)
	}
	link := &link{env: env}
	env.Control = func() (controlpb.Client, error) {
		conn, err := link.dial()
		return controlpb.NewClient(conn), err
	}
	env.Images = func() (controlpb.ImageServiceClient, error) {
		conn, err := link.dialLocal()
		return controlpb.NewImageServiceClient(conn), err
	}
	env.Local = func() (nodepb.LocalServiceClient, error) {
		conn, err := link.dialLocal()
		return nodepb.NewLocalServiceClient(conn), err
	}
	return env, link.close
}

// Getenv returns a variable of the environment, or "".
func (e *Env) Getenv(name string) string {
	if e.LookupEnv == nil {
		return ""
	}
	v, _ := e.LookupEnv(name)
	return v
}
