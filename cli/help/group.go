package help

import "github.com/spf13/pflag"

// groupKey is the annotation that holds the group of a flag.
const groupKey = "muster-help-group"

// Group puts a flag under the heading "HEADING options". Flags in no group go
// first, groups in the order in which a flag set that is not sorted has them.
func Group(f *pflag.Flag, heading string) {
	if f.Annotations == nil {
		f.Annotations = make(map[string][]string)
	}
	f.Annotations[groupKey] = []string{heading}
}

type group struct {
	heading string // empty for the flags in no group
	flags   *pflag.FlagSet
}

// groups takes a flag set apart; the flags of a group are sorted.
func groups(fs *pflag.FlagSet) []group {
	list := []group{{"", pflag.NewFlagSet("", pflag.ContinueOnError)}}
	byHeading := map[string]*pflag.FlagSet{"": list[0].flags}
	fs.VisitAll(func(f *pflag.Flag) {
		heading := ""
		if a := f.Annotations[groupKey]; len(a) > 0 {
			heading = a[0]
		}
		if byHeading[heading] == nil {
			byHeading[heading] = pflag.NewFlagSet("", pflag.ContinueOnError)
			list = append(list, group{heading, byHeading[heading]})
		}
		byHeading[heading].AddFlag(f)
	})
	return list
}
