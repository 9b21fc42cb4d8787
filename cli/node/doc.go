// Package node implements the node commands, one file each.
package node
