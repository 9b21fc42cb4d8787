package template

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/internal/text"
)

// MaxOutput bounds in bytes what all templates of one task make, on the way to
// their results too.
const MaxOutput = 1 << 20

// Has reports whether s is a template at all.
func Has(s string) bool { return strings.Contains(s, "{{") }

// Expander fills in the templates of one task.
type Expander struct {
	values Values
	left   int // of MaxOutput
}

// New returns an expander for a task.
func New(v Values) *Expander { return &Expander{values: v, left: MaxOutput} }

// errLong is what ends a template that makes too much.
var errLong = fmt.Errorf("the templates of a task make more than %d bytes", MaxOutput)

// Expand returns s with everything filled in; a text without templates as it is.
// Errors are invalid arguments, and quote of s no more than what is wrong.
func (e *Expander) Expand(s string) (string, error) {
	if !Has(s) {
		return s, nil
	}
	t, err := template.New("").Funcs(template.FuncMap{"join": e.join}).Parse(s)
	if err != nil {
		return "", refusal(err)
	}
	if t.Tree == nil || len(t.Templates()) > 1 {
		return "", refusal(errors.New("define and block cannot be used"))
	}
	if err := e.values.check(t.Root); err != nil {
		return "", refusal(err)
	}
	var out strings.Builder
	if err := t.Execute(limited{e, &out}, e.values); err != nil {
		return "", refusal(err)
	}
	return out.String(), nil
}

// join is strings.Join, with the separator first, as in Docker.
func (e *Expander) join(separator string, parts ...string) (string, error) {
	size := len(separator) * max(0, len(parts)-1)
	for _, p := range parts {
		size += len(p)
	}
	if err := e.spend(size); err != nil {
		return "", err
	}
	return strings.Join(parts, separator), nil
}

// spend takes bytes off what may still be made.
func (e *Expander) spend(n int) error {
	if e.left -= n; e.left < 0 {
		return errLong
	}
	return nil
}

// limited is a Writer within what may still be made.
type limited struct {
	*Expander
	out *strings.Builder
}

func (l limited) Write(p []byte) (int, error) {
	if err := l.spend(len(p)); err != nil {
		return 0, err
	}
	return l.out.Write(p)
}

// where is what text/template puts before what is wrong.
var where = regexp.MustCompile(`^template: :\d+(:\d+)?: (executing "" at )?`)

// refusal is err in our words, and short.
func refusal(err error) error {
	why := where.ReplaceAllString(err.Error(), "")
	if errors.Is(err, errLong) {
		why = errLong.Error()
	}
	const most = 300
	return fmt.Errorf("%s; two braces alone are {{\"{{\"}}: %w", text.Clean(why, most), errdefs.ErrInvalidArgument)
}
