package access_test

import (
	"strings"
	"testing"

	"andon.internal/broker/access"
)

var (
	node      = access.Identity{Role: access.Node, Group: "line1", Name: "cell-07"}
	collector = access.Identity{Role: access.Collector, Name: "main"}
	viewer    = access.Identity{Role: access.Viewer, Name: "ann"}
	local     = access.Identity{Role: access.Local}
	nobody    = access.Identity{}
)

// hostile are topics that no role but perhaps the local one may publish to.
var hostile = []string{
	"", "/", "//", "#", "+", "a", "$SYS/broker/load", "$share/g/spBv1.0/#", "spBv1.0", "spBv1.0/", "spBv1.0//NDATA/cell-07",
	"spBv1.0/line1/NDATA/cell-07/", "spBv1.0/line1/NDATA/cell-07/x", "spBv1.0/line1/DDATA/cell-07", "spBv1.0/line1/DDATA/cell-07/",
	"spBv1.0/line1/DDATA/cell-07/a/b", "spBv1.0/line1/DDATA/cell-07/+", "spBv1.0/line1/NDATA/+", "spBv1.0/+/NDATA/cell-07",
	"spBv1.0/line1/NDATA/#", "spBv1.0/line1/ndata/cell-07", "spbv1.0/line1/NDATA/cell-07", "spBv1.0/line1/NDATA/cell-07\x00",
	"spBv1.0/line1/DDATA/cell-07/a\x00b", "spBv1.0/line1/DDATA/cell-07/\xff", "spBv1.0/line1/DDATA/cell-07/..", "spBv1.0/line1/DDATA/cell-07/a b",
	"spBv1.0/STATE", "spBv1.0/STATE/", "spBv1.0/STATE/a/b", "spBv1.0/STATE/+", "spBv1.0/STATE/a b",
	"andon/alarm", "andon/alarm/line1", "andon/alarm/line1/x/y", "andon/alarm/+/x", "andon/ack/", "andon/ack/x/y", "andon/role/", "andon/role/a/b", "andon/other",
	strings.Repeat("x/", 40), strings.Repeat("y", 70000),
}

func TestPublish(t *testing.T) {
	own := []string{
		"spBv1.0/line1/NBIRTH/cell-07", "spBv1.0/line1/NDATA/cell-07", "spBv1.0/line1/NDEATH/cell-07",
		"spBv1.0/line1/DBIRTH/cell-07/press-1", "spBv1.0/line1/DDATA/cell-07/press-1", "spBv1.0/line1/DDEATH/cell-07/press-1",
	}
	others := []string{
		"spBv1.0/line1/NBIRTH/cell-08", "spBv1.0/line2/NDATA/cell-07", "spBv1.0/line1/NDEATH/cell-070", "spBv1.0/line1/NDEATH/cell-0",
		"spBv1.0/line1/DDATA/cell-08/press-1", "spBv1.0/line2/DBIRTH/cell-07/press-1",
	}
	commands := []string{"spBv1.0/line1/NCMD/cell-07", "spBv1.0/line1/DCMD/cell-07/press-1", "spBv1.0/line2/NCMD/cell-09"}
	alarms := []string{"andon/alarm/line1/0123456789abcdef01234567", "andon/ack/0123456789abcdef01234567", "andon/role/web"}
	states := []string{"spBv1.0/STATE/andon"}
	for _, group := range []struct {
		name   string
		topics []string
		may    map[access.Role]bool // not retained
		retain map[access.Role]bool
	}{
		{"the node's own", own, map[access.Role]bool{access.Node: true}, nil},
		{"of other nodes", others, nil, nil},
		{"commands", commands, map[access.Role]bool{access.Collector: true}, nil},
		{"alarms", alarms, map[access.Role]bool{access.Collector: true}, nil},
		{"host states", states, map[access.Role]bool{access.Collector: true}, map[access.Role]bool{access.Collector: true}},
		{"hostile", hostile, nil, nil},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, topic := range group.topics {
				for _, id := range []access.Identity{node, collector, viewer, nobody} {
					if got := id.MayPublish(topic, false); got != group.may[id.Role] {
						t.Errorf("%s publishes to %.60q: %v", id, topic, got)
					}
					if got := id.MayPublish(topic, true); got != group.retain[id.Role] {
						t.Errorf("%s publishes to %.60q, retained: %v", id, topic, got)
					}
				}
			}
		})
	}
	if !local.MayPublish("anything/at all", true) || local.MayPublish("a/+", false) || local.MayPublish("$SYS/x", false) || local.MayPublish("", false) {
		t.Error("who is local publishes to any valid topic that is not the broker's")
	}
}

func TestRead(t *testing.T) {
	const no = -1
	for filter, want := range map[string]map[access.Role]int{
		"spBv1.0/line1/NCMD/cell-07":          {access.Node: 2, access.Collector: 2, access.Viewer: 0},
		"spBv1.0/line1/DCMD/cell-07/+":        {access.Node: 2, access.Collector: 2, access.Viewer: 0},
		"spBv1.0/line1/DCMD/cell-07/press-1":  {access.Node: 2, access.Collector: 2, access.Viewer: 0},
		"spBv1.0/STATE/+":                     {access.Node: 2, access.Collector: 2, access.Viewer: 0},
		"spBv1.0/STATE/andon":                 {access.Node: 2, access.Collector: 2, access.Viewer: 0},
		"spBv1.0/line1/NCMD/cell-08":          {access.Node: no, access.Collector: 2, access.Viewer: 0},
		"spBv1.0/line1/NCMD/+":                {access.Node: no, access.Collector: 2, access.Viewer: 0},
		"spBv1.0/line1/NCMD/#":                {access.Node: no, access.Collector: 2, access.Viewer: 0},
		"spBv1.0/line1/+/cell-07":             {access.Node: no, access.Collector: 2, access.Viewer: 0},
		"spBv1.0/line1/DCMD/cell-07/#":        {access.Node: no, access.Collector: 2, access.Viewer: 0},
		"spBv1.0/line1/DCMD/+/+":              {access.Node: no, access.Collector: 2, access.Viewer: 0},
		"spBv1.0/+/+/+":                       {access.Node: no, access.Collector: 2, access.Viewer: 0},
		"spBv1.0/#":                           {access.Node: no, access.Collector: 2, access.Viewer: 0},
		"spBv1.0":                             {access.Node: no, access.Collector: 2, access.Viewer: 0},
		"spBv1.0/line1/NDATA/cell-07":         {access.Node: no, access.Collector: 2, access.Viewer: 0},
		"andon/alarm/+/+":                     {access.Node: no, access.Collector: 2, access.Viewer: 0},
		"andon/#":                             {access.Node: no, access.Collector: 2, access.Viewer: 0},
		"$SYS/#":                              {access.Node: no, access.Collector: 2, access.Viewer: no},
		"#":                                   {access.Node: no, access.Collector: no, access.Viewer: no},
		"+/#":                                 {access.Node: no, access.Collector: no, access.Viewer: no},
		"+":                                   {access.Node: no, access.Collector: no, access.Viewer: no},
		"":                                    {access.Node: no, access.Collector: no, access.Viewer: no},
		"/":                                   {access.Node: no, access.Collector: no, access.Viewer: no},
		"spBv1.0/#/x":                         {access.Node: no, access.Collector: no, access.Viewer: no},
		"spBv1.0/a+":                          {access.Node: no, access.Collector: no, access.Viewer: no},
		"spBv1.0/line1/DCMD/cell-07/a#":       {access.Node: no, access.Collector: no, access.Viewer: no},
		"spBv1.0/line1/DCMD/cell-07/a\x00":    {access.Node: no, access.Collector: no, access.Viewer: no},
		"$share/g/spBv1.0/line1/NCMD/cell-07": {access.Node: no, access.Collector: no, access.Viewer: no},
		"plant/+":                             {access.Node: no, access.Collector: no, access.Viewer: no},
	} {
		for _, id := range []access.Identity{node, collector, viewer} {
			got := no
			if qos, ok := id.MayRead(filter); ok {
				got = int(qos)
			}
			if got != want[id.Role] {
				t.Errorf("%s reads %q at QoS %d, want %d", id, filter, got, want[id.Role])
			}
		}
		if _, ok := nobody.MayRead(filter); ok {
			t.Errorf("nobody reads %q", filter)
		}
	}
	for _, filter := range []string{"#", "$SYS/#", "+/+", "a/b"} {
		if qos, ok := local.MayRead(filter); !ok || qos != 2 {
			t.Errorf("who is local reads %q at QoS %d, %v", filter, qos, ok)
		}
	}
}

func TestConnect(t *testing.T) {
	death := &access.Will{Topic: "spBv1.0/line1/NDEATH/cell-07"}
	state := &access.Will{Topic: "spBv1.0/STATE/andon", Retain: true}
	for _, c := range []struct {
		name   string
		id     access.Identity
		client string
		will   *access.Will
		want   string // of the error; empty: none
	}{
		{"a node", node, "line1/cell-07/ab12", death, ""},
		{"a node without a will", node, "line1/cell-07/", nil, ""},
		{"a node under another's id", node, "line1/cell-08/ab12", nil, "must begin with"},
		{"a node under a longer name", node, "line1/cell-070/ab12", nil, "must begin with"},
		{"a node under a collector's id", node, "collector/main/1", nil, "must begin with"},
		{"a node without an id", node, "", nil, "must begin with"},
		{"the death of another node", node, "line1/cell-07/1", &access.Will{Topic: "spBv1.0/line1/NDEATH/cell-08"}, "its own NDEATH"},
		{"data as a will", node, "line1/cell-07/1", &access.Will{Topic: "spBv1.0/line1/NDATA/cell-07"}, "its own NDEATH"},
		{"a command as a will", node, "line1/cell-07/1", &access.Will{Topic: "spBv1.0/line1/NCMD/cell-08"}, "its own NDEATH"},
		{"a retained death", node, "line1/cell-07/1", &access.Will{Topic: death.Topic, Retain: true}, "may not"},
		{"a collector", collector, "andon-host-ab12", state, ""},
		{"a command as a collector's will", collector, "andon-host-1", &access.Will{Topic: "spBv1.0/line1/NCMD/cell-07"}, "must be a STATE"},
		{"a collector under a cell's id", collector, "line1/cell-07/ab12", nil, "without a slash"},
		{"a viewer", viewer, "ann", nil, ""},
		{"a viewer under a cell's id", viewer, "line1/cell-07/ab12", nil, "without a slash"},
		{"a viewer's will", viewer, "ann", state, "may not"},
		{"who is local", local, "anything", &access.Will{Topic: "any/thing", Retain: true}, ""},
		{"nobody", nobody, "x", nil, "nobody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.id.Connect(c.client, c.will)
			if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
