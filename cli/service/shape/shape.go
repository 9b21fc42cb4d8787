package shape

import (
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Service is a service as "service inspect" shows it. Field names are those
// of Docker's API; durations are nanoseconds, as there.
type Service struct {
	ID           string
	Version      Version
	CreatedAt    time.Time
	UpdatedAt    time.Time
	Spec         Spec
	PreviousSpec *Spec `json:",omitempty"`
	Endpoint     Endpoint
	UpdateStatus *UpdateStatus `json:",omitempty"`
}

// Version is what --if-version compares with.
type Version struct{ Index uint64 }

// Spec is what the user asked for.
type Spec struct {
	Name           string
	Labels         map[string]string
	TaskTemplate   TaskTemplate
	Mode           Mode
	UpdateConfig   *UpdateConfig `json:",omitempty"`
	RollbackConfig *UpdateConfig `json:",omitempty"`
	EndpointSpec   EndpointSpec
}

// Mode says how many tasks there are.
type Mode struct {
	Replicated *Replicated `json:",omitempty"`
}

// Replicated is a number of copies.
type Replicated struct{ Replicas uint32 }

// TaskTemplate is what each task is made from.
type TaskTemplate struct {
	ContainerSpec ContainerSpec
	Resources     *Requirements  `json:",omitempty"`
	RestartPolicy *RestartPolicy `json:",omitempty"`
	Placement     *Placement     `json:",omitempty"`
	ForceUpdate   uint64
}

// ContainerSpec is what runs.
type ContainerSpec struct {
	Image           string
	Labels          map[string]string `json:",omitempty"`
	Command         []string          `json:",omitempty"`
	Args            []string          `json:",omitempty"`
	Hostname        string            `json:",omitempty"`
	Env             []string          `json:",omitempty"`
	Dir             string            `json:",omitempty"`
	User            string            `json:",omitempty"`
	Groups          []string          `json:",omitempty"`
	TTY             bool              `json:",omitempty"`
	ReadOnly        bool              `json:",omitempty"`
	StopSignal      string            `json:",omitempty"`
	StopGracePeriod *time.Duration    `json:",omitempty"`
	DrainTimeout    *time.Duration    `json:",omitempty"`
	Healthcheck     *Healthcheck      `json:",omitempty"`
	Hosts           []string          `json:",omitempty"`
	DNSConfig       *DNSConfig        `json:",omitempty"`
	CapabilityAdd   []string          `json:",omitempty"`
	CapabilityDrop  []string          `json:",omitempty"`
	Sysctls         map[string]string `json:",omitempty"`
	Ulimits         []Ulimit          `json:",omitempty"`
	OomScoreAdj     int32             `json:",omitempty"`
}

// Healthcheck is how a task is found fit to serve; Test, HTTP or TCP is set.
type Healthcheck struct {
	Test          []string       `json:",omitempty"`
	HTTP          string         `json:",omitempty"`
	TCP           uint32         `json:",omitempty"`
	Interval      *time.Duration `json:",omitempty"`
	Timeout       *time.Duration `json:",omitempty"`
	StartPeriod   *time.Duration `json:",omitempty"`
	StartInterval *time.Duration `json:",omitempty"`
	Retries       uint32         `json:",omitempty"`
}

// DNSConfig is the content of resolv.conf.
type DNSConfig struct {
	Nameservers []string `json:",omitempty"`
	Search      []string `json:",omitempty"`
	Options     []string `json:",omitempty"`
}

// Ulimit is a limit of the process.
type Ulimit struct {
	Name       string
	Hard, Soft int64
}

// Requirements are what a task may use and what is kept free for it.
type Requirements struct {
	Limits       *Resources `json:",omitempty"`
	Reservations *Resources `json:",omitempty"`
}

// Resources are amounts.
type Resources struct {
	NanoCPUs    int64 `json:",omitempty"`
	MemoryBytes int64 `json:",omitempty"`
	Pids        int64 `json:",omitempty"`
}

// RestartPolicy is what happens when a task ends by itself.
type RestartPolicy struct {
	Condition   string
	Delay       *time.Duration `json:",omitempty"`
	MaxDelay    *time.Duration `json:",omitempty"`
	MaxAttempts uint32
	Window      *time.Duration `json:",omitempty"`
}

// Placement is where tasks may run.
type Placement struct {
	Constraints []string     `json:",omitempty"`
	Preferences []Preference `json:",omitempty"`
	MaxReplicas uint32       `json:",omitempty"`
	Platforms   []Platform   `json:",omitempty"`
}

// Preference spreads tasks over the values of a label.
type Preference struct{ Spread Spread }

// Spread names the label.
type Spread struct{ SpreadDescriptor string }

// Platform is an operating system and architecture.
type Platform struct{ Architecture, OS string }

// UpdateConfig is how a change is rolled out.
type UpdateConfig struct {
	Parallelism      uint32
	Delay            *time.Duration `json:",omitempty"`
	FailureAction    string
	Monitor          *time.Duration `json:",omitempty"`
	MaxFailureRatio  float64
	Order            string
	ProgressDeadline *time.Duration `json:",omitempty"`
	Canary           uint32         `json:",omitempty"`
	Promote          string         `json:",omitempty"`
}

// EndpointSpec is what is published.
type EndpointSpec struct {
	Ports []Port `json:",omitempty"`
}

// Port is a published port.
type Port struct {
	Protocol      string
	TargetPort    uint32
	PublishedPort uint32 `json:",omitempty"`
	PublishMode   string
}

// Endpoint is what is published once ports were given out.
type Endpoint struct {
	Spec  EndpointSpec
	Ports []Port `json:",omitempty"`
}

// UpdateStatus is how the last rollout goes or went.
type UpdateStatus struct {
	State       string
	StartedAt   *time.Time `json:",omitempty"`
	CompletedAt *time.Time `json:",omitempty"`
	Message     string
}

// UpdateState is the name of a rollout's state, as Docker writes it.
func UpdateState(s clusterpb.UpdateStatus_State) string {
	return enum(s.String(), "STATE_")
}
