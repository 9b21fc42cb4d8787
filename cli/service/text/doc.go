// Package text writes services as text: the pretty layout, published ports in
// a column, and the difference between two specs field by field.
package text
