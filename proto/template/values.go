package template

// Values are what templates can name, as in Docker.
type Values struct {
	Service Service
	Node    Node
	Task    Task
}

// Service is the task's service.
type Service struct {
	ID, Name string
	Labels   map[string]string
}

// Node is the node that the task runs on.
type Node struct {
	ID, Hostname string
	Platform     Platform
}

// Platform is as Docker writes it: "linux" and "x86_64".
type Platform struct {
	OS, Architecture string
}

// Task is the task; Name is SERVICE.SLOT.ID.
type Task struct {
	ID, Name, Slot string
}

// fields are the names of what Values has, but for labels.
const fields = ".Service.ID .Service.Name .Service.Labels .Node.ID .Node.Hostname " +
	".Node.Platform.OS .Node.Platform.Architecture .Task.ID .Task.Name .Task.Slot"

// functions are those of text/template that can be called, and Docker's join.
const functions = "join index len and or not eq ne lt le gt ge"
