// Package reaper deletes tasks that are of no further use, and ends those of
// which nothing more will be heard.
//
// A slot keeps its newest tasks up to the cluster's history limit, the live one
// included: they are what people look at after a failure. The newest task of a
// slot always stays, for it tells how often the slot was restarted and that it
// was given up.
package reaper
