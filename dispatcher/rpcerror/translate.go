package rpcerror

import (
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/muster/muster/internal/text"
)

// conflict is the code of ErrConflict: the change has to be made again on what
// is there now. errgrpc has none for it alone, and on the other side knows it
// only where the message ends with the word.
const conflict = codes.Aborted

// maxMessage bounds what an error says, in bytes. HTTP/2 peers limit headers,
// in which it travels.
const maxMessage = 4 << 10

// ToWire turns a handler's error into a status of the matching code whose
// message is the error's text, on one line.
func ToWire(err error) error {
	if err == nil {
		return nil
	}
	s := status.Convert(errgrpc.ToGRPC(err))
	code := s.Code()
	if errdefs.IsConflict(err) {
		code = conflict
	}
	// Without the details, which the other side would append to the message.
	return status.Error(code, text.Clean(oneLine(plain(s.Message())), maxMessage))
}

// FromWire turns a status into an error of the matching errdefs kind. Errors
// of the stream itself (io.EOF) stay what they are.
func FromWire(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	s, ok := status.FromError(err)
	if !ok {
		return err // never left this process: already native
	}
	message := text.Clean(oneLine(plain(s.Message())), maxMessage)
	if s.Code() == codes.Unimplemented && unknownMethod.MatchString(message) {
		message = "the daemon on the other side is of another version: " + message
	}
	code := s.Code()
	if code == conflict {
		return errdefs.ErrConflict.WithMessage(message)
	}
	if code == codes.Unavailable && strings.HasSuffix(message, refused) {
		code = codes.PermissionDenied // asking again would not help
	}
	return errgrpc.ToNative(status.Error(code, message))
}

// unknownMethod is how gRPC says that a server lacks a service or a method.
var unknownMethod = regexp.MustCompile(`^(unknown (service|method) |method \w+ not implemented$)`)

// refused is all that can be said to a client whose certificate was not taken:
// TLS tells it no more.
const refused = "the other side refused this node's certificate: it has expired, belongs to another cluster or to a removed node, or may not use this port"

// statusText is how a status prints inside another error.
var statusText = regexp.MustCompile(`rpc error: code = \w+ desc = `)

// framing is what gRPC and crypto/tls put before the cause of a failed
// connection, which they hand over as text only.
var framing = regexp.MustCompile(`^(transport: |Error while dialing: |` +
	`authentication handshake failed: |error reading server preface: |tls: failed to verify certificate: |name resolver error: )`)

// plain takes gRPC's framing off the cause of a failed connection.
func plain(message string) string {
	const quoted = `connection error: desc = "`
	message = statusText.ReplaceAllString(message, "")
	for {
		if i := strings.Index(message, quoted); i >= 0 {
			start := i + len(quoted) - 1
			if prefix, err := strconv.QuotedPrefix(message[start:]); err == nil {
				if unquoted, err := strconv.Unquote(prefix); err == nil {
					message = unquoted
					continue
				}
			}
		}
		if m := framing.FindString(message); m != "" {
			message = message[len(m):]
			continue
		}
		break
	}
	switch {
	case strings.Contains(message, "missing selected ALPN property"),
		strings.HasSuffix(message, "remote error: tls: no application protocol"),
		strings.HasSuffix(message, "first record does not look like a TLS handshake"):
		return "what answers there is not a muster node"
	case strings.HasSuffix(message, "remote error: tls: bad certificate"):
		return refused
	}
	return message
}

// oneLine joins the lines of a message, as errors.Join makes them.
func oneLine(message string) string {
	lines := strings.FieldsFunc(message, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}
