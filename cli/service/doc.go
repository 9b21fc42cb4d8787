// Package service implements the service commands, one file each. The flags
// that edit a spec are in edit, the layouts in which a service is written in
// text.
package service
