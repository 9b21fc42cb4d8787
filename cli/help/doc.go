// Package help lays out what commands say about themselves: wrapped at the
// width of the terminal, with flags in groups.
package help
