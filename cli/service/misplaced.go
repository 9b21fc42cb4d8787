package service

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// misplaced warns of an option of "service create" that stands behind IMAGE,
// where a command would begin: it goes to the container, which may be meant. ""
// when there is none.
func misplaced(fs *pflag.FlagSet, args []string) string {
	if len(args) == 0 {
		return ""
	}
	name, _, _ := strings.Cut(args[0], "=")
	known := false
	switch {
	case strings.HasPrefix(name, "--"):
		known = fs.Lookup(name[2:]) != nil
	case len(name) > 1 && name[0] == '-':
		known = name[1] < utf8.RuneSelf && fs.ShorthandLookup(name[1:2]) != nil
	}
	if !known {
		return ""
	}
	return fmt.Sprintf("%s stands behind the image, so it goes to the container; options of \"service create\" stand before IMAGE", name)
}
