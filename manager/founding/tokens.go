package founding

import "github.com/muster/muster/proto/jointoken"

// Secrets are what nodes join with, in a cluster or in one about to be founded.
type Secrets interface {
	GetWorkerSecret() string
	GetManagerSecret() string
}

// Tokens returns the join tokens for workers and for managers.
func Tokens(rootCA []byte, secrets Secrets) (worker, manager string, err error) {
	if worker, err = jointoken.Make(rootCA, secrets.GetWorkerSecret()); err != nil {
		return "", "", err
	}
	manager, err = jointoken.Make(rootCA, secrets.GetManagerSecret())
	return worker, manager, err
}
