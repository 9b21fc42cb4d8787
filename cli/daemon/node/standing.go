package node

import (
	"context"
	"slices"
	"time"
)

// settles is how long the data plane is given for what it is about to change, or
// to put right.
const settles = time.Second

// standing looks for differences, and again at what is found after a while. What
// is gone by then was just being changed, as when tasks come and go, or was put
// right: who asks what is wrong with a node need not know of it.
func standing(ctx context.Context, look func(context.Context) ([]string, error)) ([]string, error) {
	first, err := look(ctx)
	if err != nil || len(first) == 0 {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(settles):
	}
	again, err := look(ctx)
	return slices.DeleteFunc(again, func(line string) bool { return !slices.Contains(first, line) }), err
}
