// Package render turns what the cluster tells into text: tables, Go
// templates and JSON, as Docker's --format, --quiet and --filter do.
package render
