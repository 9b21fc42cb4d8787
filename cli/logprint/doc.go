// Package logprint prints what tasks print, line by line with where each comes
// from, as "service logs" does.
package logprint
