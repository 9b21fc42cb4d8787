package ingress

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/namespace"
)

// watchBuffer holds notices while we are busy, in bytes. What does not fit is
// made good by a look at everything.
const watchBuffer = 1 << 20

// routeGroups are the groups whose notices are read (linux/rtnetlink.h). A change of a
// device's forwarding or rp_filter is told by NETCONF; other sysctls have no
// notice and are found by the timer.
func routeGroups() []uint32 {
	return []uint32{
		unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV4_NETCONF,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV6_NETCONF,
	}
}

// watcher notices what others change in the kernel.
type watcher struct {
	netns   string // empty for that of the process
	log     *slog.Logger
	noticed chan struct{} // holds one token if others may have changed the kernel
	overlay atomic.Int64  // the index of the overlay device, once there is one
}

// run leaves a token in w.noticed whenever others may have changed what is
// ours in the kernel, until ctx is done.
func (w *watcher) run(ctx context.Context) {
	comm, _ := os.ReadFile("/proc/self/comm")
	self := strings.TrimSpace(string(comm))
	concerns := func(m netlink.Message) bool { return w.routeConcerns(m) }
	foreign := func(m netlink.Message) bool { return rulesetConcerns(m, self) }
	var wg sync.WaitGroup
	wg.Go(func() { w.listen(ctx, unix.NETLINK_ROUTE, routeGroups(), concerns) })
	wg.Go(func() { w.listen(ctx, unix.NETLINK_NETFILTER, []uint32{unix.NFNLGRP_NFTABLES}, foreign) })
	wg.Wait()
}

// listen reads the notices of some groups, and begins anew when it cannot.
func (w *watcher) listen(ctx context.Context, family int, groups []uint32, concerns func(netlink.Message) bool) {
	for wait := minRetry; ctx.Err() == nil; wait = min(2*wait, maxRetry) {
		err := w.receive(ctx, family, groups, concerns)
		if ctx.Err() != nil {
			return
		}
		w.notice() // of what was missed
		if errors.Is(err, unix.ENOBUFS) {
			wait = minRetry // there was more than fits, which is no fault
		} else {
			w.log.WarnContext(ctx, "changes of the kernel go unnoticed for now", "in", wait, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func (w *watcher) receive(ctx context.Context, family int, groups []uint32, concerns func(netlink.Message) bool) error {
	var c *netlink.Conn
	err := namespace.In(w.netns, func() (err error) {
		c, err = netlink.Dial(family, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("open netlink for notices: %w", err)
	}
	defer c.Close()
	if err := c.SetReadBuffer(watchBuffer); err != nil {
		return fmt.Errorf("open netlink for notices: %w", err)
	}
	for _, g := range groups {
		if err := c.JoinGroup(g); err != nil {
			return fmt.Errorf("join netlink group %d: %w", g, err)
		}
	}
	w.notice() // of what came before
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	for {
		messages, err := c.Receive()
		if err != nil {
			return fmt.Errorf("read notices: %w", err)
		}
		if slices.ContainsFunc(messages, concerns) {
			w.notice()
		}
	}
}

// notice says that the kernel should be looked at.
func (w *watcher) notice() {
	select {
	case w.noticed <- struct{}{}:
	default:
	}
}

// routeConcerns reports whether a notice may be of something that we hold and
// that is now gone or different. One of our own making costs a look, which
// finds nothing and so makes no further one.
func (w *watcher) routeConcerns(m netlink.Message) bool {
	switch uint16(m.Header.Type) {
	case unix.RTM_DELLINK, unix.RTM_DELADDR, unix.RTM_DELRULE, unix.RTM_NEWNETCONF:
		return true
	case unix.RTM_NEWLINK:
		return !strings.HasPrefix(linkName(m.Data), TaskLinkPrefix)
	case unix.RTM_DELROUTE:
		return len(m.Data) > 5 && m.Data[5] == routeProtocol // rtm_protocol
	case unix.RTM_DELNEIGH:
		// Others' neighbours come and go all the time.
		return len(m.Data) >= 8 && int64(binary.NativeEndian.Uint32(m.Data[4:])) == w.overlay.Load() // ndm_ifindex
	}
	return false
}

// linkName is the name of the device that a notice about a link is of.
func linkName(data []byte) string {
	if len(data) < unix.SizeofIfInfomsg {
		return ""
	}
	return stringAttribute(data[unix.SizeofIfInfomsg:], unix.IFLA_IFNAME)
}

// rulesetConcerns reports whether a process other than this changed nftables:
// each transaction ends with a notice that carries the name of who made it.
func rulesetConcerns(m netlink.Message, self string) bool {
	const header = 4 // struct nfgenmsg
	if m.Header.Type != unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN || len(m.Data) < header {
		return false
	}
	return stringAttribute(m.Data[header:], unix.NFTA_GEN_PROC_NAME) != self
}

// stringAttribute returns the text of an attribute, or nothing if it is not there.
func stringAttribute(b []byte, typ uint16) string {
	list, err := netlink.UnmarshalAttributes(b)
	if err != nil {
		return ""
	}
	for _, a := range list {
		if a.Type == typ {
			return string(bytes.TrimRight(a.Data, "\x00"))
		}
	}
	return ""
}
