// Package image implements the image commands, which work on what this node
// holds, one file each.
package image
