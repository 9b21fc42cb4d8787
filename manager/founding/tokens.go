package founding

import "github.com/muster/muster/proto/jointoken"

// Secrets are what nodes join by: those of a cluster that is or is to be.
type Secrets interface {
	GetWorkerSecret() string
	GetManagerSecret() string
}

// Tokens returns what workers and managers join the cluster by.
func Tokens(rootCA []byte, secrets Secrets) (worker, manager string, err error) {
	if worker, err = jointoken.Make(rootCA, secrets.GetWorkerSecret()); err != nil {
		return "", "", err
	}
	manager, err = jointoken.Make(rootCA, secrets.GetManagerSecret())
	return worker, manager, err
}
