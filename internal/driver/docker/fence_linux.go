package docker

import (
	"errors"
	"os"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// fenceTable names the table of this machine's packet filter that every server on it
// shares: the rules are the same for all, and mean all bridges named by Driver.bridge.
const fenceTable = "sagebrush"

// raiseFence keeps containers from the machine that they run on. A container may
// answer whom the machine connects to it, and begins no connection to the machine
// itself, by whatever address: neither to services that listen on all addresses nor to
// those of the bridge. Nor does it reach the link-local addresses where clouds hand out
// a machine's credentials. Names are still resolved at both, unless the container is
// isolated. Rules of others are left alone, and what they forbid stays forbidden.
//
// It may be called again, which mends a fence that somebody else's tool has torn down.
// errNoRight says that this process may not change the packet filter.
func raiseFence() error {
	c, err := nftables.New()
	if err != nil {
		return fenceError(err)
	}
	// One batch: there is never a moment with half a fence.
	table := c.AddTable(&nftables.Table{Name: fenceTable, Family: nftables.TableFamilyINet})
	for _, hook := range []struct {
		name  string
		at    *nftables.ChainHook
		match []expr.Any
	}{
		{"input", nftables.ChainHookInput, begun()},
		{"forward", nftables.ChainHookForward, toLinkLocal()},
	} {
		chain := c.AddChain(&nftables.Chain{
			Table: table, Name: hook.name, Type: nftables.ChainTypeFilter,
			Hooknum: hook.at, Priority: nftables.ChainPriorityRef(-5), // before Docker's own
		})
		c.FlushChain(chain)
		add := func(parts ...[]expr.Any) {
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: slices.Concat(parts...)})
		}
		for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			add(from(bridgePrefix), toNames(protocol), []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}})
		}
		for _, bridges := range []string{bridgePrefix, isolatedPrefix} {
			add(from(bridges), hook.match, []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})
		}
	}
	return fenceError(c.Flush())
}

// from matches packets that come out of the networks whose bridges are named so.
func from(prefix string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte(prefix)},
	}
}

// toNames matches what asks a name server.
func toNames(protocol byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(53)},
	}
}

// begun matches packets that answer nothing.
func begun() []expr.Any {
	answers := uint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(answers), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)},
	}
}

// toLinkLocal matches packets to 169.254.0.0/16.
func toLinkLocal() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.NFPROTO_IPV4}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{169, 254}},
	}
}

func fenceError(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return errNoRight
	}
	return err
}
