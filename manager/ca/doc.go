// Package ca is the cluster's certificate authority: it makes the root,
// signs node certificates, and serves ca.v1 on every manager.
//
// The root's key is in replicated state, so any manager signs. A node is
// recorded in that state before it gets its certificate: there is no
// certificate of a node that the cluster does not know.
package ca
