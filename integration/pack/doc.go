// Package pack makes container images on the spot, with no registry: from the
// packages of the Debian or Ubuntu that it runs on, or from a Go program of
// this repository. An image is a docker-archive, what `muster image load`
// takes. The same definition and the same packages give the same bytes, and an
// image that was packed once is taken from the cache.
//
// It needs root (apt-get and the owners of files) and dpkg.
package pack
