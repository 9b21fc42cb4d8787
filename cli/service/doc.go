// Package service implements the service commands, one file each. The flags
// that edit a spec are in edit, the forms in which a service is shown in
// shape.
package service
