// Package worker is the node agent: it makes a node what managers say it
// should be, and tells them what came of it.
//
// [Worker.Run] composes the parts: a session with the leader
// (dispatcher/agent), one controller per task (worker/task), what the node
// remembers over a restart (worker/state), what it still has to report
// (worker/report), and the part of the mesh that this node wants in its
// kernel. It never stops a container because it is itself stopped, or because
// no manager answers. DESIGN.md tells what happens when.
package worker
