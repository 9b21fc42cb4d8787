package command

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/term"
	"google.golang.org/grpc"

	controlpb "github.com/muster/muster/proto/control/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// Env is the world as a command sees it; a test makes its own.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	// Width is the columns of the terminal that Out is; 0 when it is none.
	Width int
	// Screen returns the columns and rows of the terminal that Err is, on which
	// progress is redrawn in place; nil when it is none, or cannot be redrawn.
	// Progress is never written to Out, which scripts read.
	Screen func() (columns, rows int)

	// LookupEnv reads a variable of the process's environment.
	LookupEnv func(string) (string, bool)
	// Now is the clock ages are counted from.
	Now func() time.Time
	// Version of this program.
	Version string

	// Patience bounds how long the daemon may take to answer a new connection;
	// 5 s when 0.
	Patience time.Duration

	// Control, Images and Local dial on first use. Control is the connection
	// that the managers answer on; see Client for a noun of theirs. Images and
	// Local are of the daemon of this machine, and are not there when Host is
	// another one.
	Control func() (grpc.ClientConnInterface, error)
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

// Warn tells about something that does not stop the command.
func (e *Env) Warn(text string) { fmt.Fprintf(e.Err, "muster: warning: %s\n", text) }

// NewEnv returns the environment of a process with these streams. Close the
// returned function's connection when the command is done.
func NewEnv(in io.Reader, out, err *os.File, version string) (env *Env, closeConn func() error) {
	env = &Env{In: in, Out: out, Err: err, LookupEnv: os.LookupEnv, Now: time.Now, Version: version}
	if fd := int(out.Fd()); term.IsTerminal(fd) {
		env.Width, _, _ = term.GetSize(fd)
	}
	if fd := int(err.Fd()); term.IsTerminal(fd) && redraws(env.Getenv("TERM")) {
		env.Screen = func() (columns, rows int) {
			columns, rows, _ = term.GetSize(fd) // 0 when it does not say
			return columns, rows
		}
	}
	link := &link{env: env}
	env.Control = func() (grpc.ClientConnInterface, error) { return link.dial() }
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

// redraws reports whether a kind of terminal moves its cursor.
func redraws(kind string) bool { return kind != "" && kind != "dumb" }

// Client returns a function that connects to the managers' service of a noun,
// whose client newClient makes.
func Client[C any](env *Env, newClient func(grpc.ClientConnInterface) C) (connect func() (C, error)) {
	return func() (client C, err error) {
		conn, err := env.Control()
		if err != nil {
			return client, err
		}
		return newClient(conn), nil
	}
}

// Getenv returns a variable of the environment, or "".
func (e *Env) Getenv(name string) string {
	if e.LookupEnv == nil {
		return ""
	}
	v, _ := e.LookupEnv(name)
	return v
}
