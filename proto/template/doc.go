// Package template fills in what a service's spec leaves to its tasks: Docker's
// templates, such as {{.Node.Hostname}} and {{.Task.Slot}}.
//
// They are Go's templates (text/template) without what could make them long or
// endless: there are no variables, loops, definitions and formats. What is left
// is known to be right before a task is made: fields, texts and numbers, the
// functions join, index, len, and, or, not and comparisons, if and else.
package template
