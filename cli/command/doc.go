// Package command holds what every command needs and nothing more: the world
// as a command sees it (Env), the connection to the cluster, checks of
// arguments, and the one place where errors become text and exit statuses.
package command
