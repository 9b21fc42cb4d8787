// Package call owns what is common to all calls between the programs of a
// cluster: what each method does, who may call it and who answers, as its
// proto file says; who calls; and how a repeated write is recognised.
package call

// MaxMessage is the largest message in bytes that clients and servers take: the
// full assignments of a large cluster. Lists come in pages (proto/page).
const MaxMessage = 64 << 20
