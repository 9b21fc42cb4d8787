package flags

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/proto/constraint"
)

// The kinds of values that say where tasks may run.
var (
	// Constraint is KEY==VALUE or KEY!=VALUE.
	Constraint = Kind[string]{"constraint", parseConstraint}
	// Spread is spread=node.labels.X or spread=engine.labels.X; the value is
	// what follows spread=.
	Spread = Kind[string]{"pref", parseSpread}
)

var spreadKey = regexp.MustCompile(`^(node|engine)\.labels\.[A-Za-z0-9._/-]+$`)

func parseSpread(s string) (string, error) {
	strategy, key, _ := strings.Cut(s, "=")
	if strategy != "spread" || !spreadKey.MatchString(key) {
		return "", errorf("must be spread=node.labels.NAME or spread=engine.labels.NAME")
	}
	return key, nil
}

func parseConstraint(s string) (string, error) {
	if _, err := constraint.Parse(s); err != nil {
		// The flag's error names the value already.
		why := strings.TrimPrefix(err.Error(), fmt.Sprintf("constraint %q: ", s))
		return "", errors.New(strings.TrimSuffix(why, ": "+errdefs.ErrInvalidArgument.Error()))
	}
	return s, nil
}
