// Package forward brings calls to the manager that can answer them.
//
// The services that only the leader can serve are registered on one server
// inside the leader's process. Every other server, on every node, hands their
// calls on as they are, byte for byte: to that server when this node leads, to
// the leader's port when another one does. So no proxy is generated or kept in
// step with the protocol, and a new service is forwarded without further ado.
//
// Who called is found out where the call came in and travels with it (package
// call), which is believed only from managers.
package forward
