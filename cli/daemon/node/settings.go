package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
)

// settings are what a node must remember of how it became a member.
type settings struct {
	// Listen is the address of the control port.
	Listen netip.AddrPort `json:"listen"`
	// Advertise is the address at which others reach the control port.
	Advertise netip.AddrPort `json:"advertise"`
	// DataPath is the address of the tunnel end.
	DataPath netip.Addr `json:"data_path"`
	// Managers are the control addresses known when the node joined.
	Managers []string `json:"managers,omitempty"`
}

// listenHost is the address to listen on, empty for all of them. Written as
// [::], all of them are refused by a kernel without IPv6, but for net.Listen.
func (s settings) listenHost() string {
	if a := s.Listen.Addr(); !a.IsUnspecified() {
		return a.String()
	}
	return ""
}

const settingsFile = "member.json"

func loadSettings(dir string) (settings, error) {
	var s settings
	data, err := os.ReadFile(filepath.Join(dir, settingsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%s is missing: restore it, or remove the directory identity beside it and join again: %w",
			filepath.Join(dir, settingsFile), errdefs.ErrDataLoss)
	}
	if err != nil {
		return s, fmt.Errorf("read how this node became a member: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%s is damaged (%w): restore it, or remove it with the directory identity beside it and join again: %w",
			filepath.Join(dir, settingsFile), err, errdefs.ErrDataLoss)
	}
	return s, nil
}

// save writes the settings so that a crash leaves the old file or the new one.
func (s settings) save(dir string) (err error) {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, settingsFile+".*")
	if err != nil {
		return fmt.Errorf("write member settings: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write member settings: %w", errors.Join(err, os.Remove(f.Name())))
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), filepath.Join(dir, settingsFile)); err != nil {
		return err
	}
	return f.Close()
}

func removeSettings(dir string) error {
	err := os.Remove(filepath.Join(dir, settingsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
