// Package constraint parses and matches placement constraints such as
// "node.labels.zone==a".
//
// The syntax is Docker Swarm's: KEY==VALUE or KEY!=VALUE, spaces around the
// operator allowed, all of a list must hold. Values compare whole and without
// regard to case; a label that a node lacks has the value "". Unlike Swarm, an
// unknown key is refused when parsed instead of never matching, and amd64 and
// x86_64, and arm64 and aarch64, are the same architecture.
package constraint
