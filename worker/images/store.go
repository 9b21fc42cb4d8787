package images

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/go-digest"

	"github.com/muster/muster/proto/image"
)

// taggedAtLabel holds when somebody tied the image's name to its digest on
// this node, in Unix nanoseconds. Copies fetched for a task do not have it.
const taggedAtLabel = "io.muster.tagged-at"

// loadedLabel marks an image that came from an archive.
const loadedLabel = "io.muster.loaded"

// defaultStall is how long a registry or a node may give nothing.
const defaultStall = 10 * time.Second

// maxTransfers is how many images are fetched at the same time; each fetches
// three pieces at once. The others wait.
const maxTransfers = 4

// Config of a Store.
type Config struct {
	// Client is connected to the node's containerd.
	Client *client.Client
	// Namespace of containerd that images are kept in, such as "muster".
	Namespace string
	// Snapshotter unpacks images; "overlayfs" when empty.
	Snapshotter string
	// CertsDir holds HOST/hosts.toml files that name mirrors, certificates and
	// plain-HTTP registries; "/etc/muster/certs.d" when empty.
	CertsDir string
	// Fetcher reaches other nodes. Without one, images come from archives and
	// registries only.
	Fetcher Fetcher
	// Stall is how long a registry or a node may give nothing before the
	// transfer fails; 10 s when 0.
	Stall time.Duration
	Log   *slog.Logger
}

// Store is the images of one node. Its methods may be called at the same time.
type Store struct {
	cfg     Config
	changed chan struct{}
	flights flights
	// transfers has room for those that may run at the same time.
	transfers turns
	keeper    *keeper

	mu sync.Mutex
	// ready holds unpacked images by digest.
	ready map[digest.Digest]*Image
	sizes map[digest.Digest]int64
}

// New returns the store over a containerd.
func New(cfg Config) *Store {
	if cfg.Snapshotter == "" {
		cfg.Snapshotter = "overlayfs"
	}
	if cfg.CertsDir == "" {
		cfg.CertsDir = "/etc/muster/certs.d"
	}
	if cfg.Stall == 0 {
		cfg.Stall = defaultStall
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		cfg:       cfg,
		changed:   make(chan struct{}, 1),
		transfers: make(turns, maxTransfers),
		ready:     make(map[digest.Digest]*Image),
		sizes:     make(map[digest.Digest]int64),
	}
	s.keeper = newKeeper(stock{s}, cfg.Log)
	return s
}

// Changed tells its one reader that the images of the node may be others than
// before.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// notify wakes the reader of Changed; one pending wake-up stands for all.
func (s *Store) notify() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// inNamespace returns ctx with the namespace that containerd's client-side
// helpers look for.
func (s *Store) inNamespace(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, s.cfg.Namespace)
}

// records are the node's names of images.
func (s *Store) records() records { return records{s.cfg.Client.ImageService()} }

// Forget drops what the store remembers of an image, so that the next Ensure
// looks again. The executor calls it when a snapshot turns out to be gone.
func (s *Store) Forget(img *Image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ready, img.Digest)
}

// prepare unpacks the image and reads its config, once for each digest. The
// result is called by its digest, whatever the record is called.
func (s *Store) prepare(ctx context.Context, record images.Image) (*Image, error) {
	s.mu.Lock()
	img, ok := s.ready[record.Target.Digest]
	s.mu.Unlock()
	if ok {
		kept := *img
		kept.Name = keptAs(record)
		return &kept, nil
	}
	if err := checkPlatform(ctx, s.cfg.Client.ContentStore(), record.Target); err != nil {
		return nil, fmt.Errorf("image %q: %w", image.Familiar(record.Name), err)
	}
	img, err := s.unpack(ctx, record)
	if err != nil {
		return nil, fmt.Errorf("unpack image %q: %w", image.Familiar(record.Name), err)
	}
	img.Name = keptAs(record)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready[img.Digest] = img
	return img, nil
}

// unpack makes the image's snapshot unless it exists.
func (s *Store) unpack(ctx context.Context, record images.Image) (*Image, error) {
	handle := client.NewImage(s.cfg.Client, record)
	unpacked, err := handle.IsUnpacked(ctx, s.cfg.Snapshotter)
	if err != nil {
		return nil, err
	}
	if !unpacked {
		if err := handle.Unpack(ctx, s.cfg.Snapshotter); err != nil {
			return nil, err
		}
	}
	return describe(ctx, handle)
}
