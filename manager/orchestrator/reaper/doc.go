// Package reaper deletes tasks that are of no further use, and ends those of
// which nothing more will be heard.
//
// A slot keeps its newest tasks up to the cluster's history limit, the live one
// included: they are what people look at after a failure and what the restart
// policy counts. The newest task of a slot always stays, for it tells that the
// slot was given up.
package reaper
