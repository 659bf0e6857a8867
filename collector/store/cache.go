package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"andon.internal/shared/telemetry"
)

// cache is what is known of one database: profiles, partitions, and the keys of
// nodes, epochs and runs. It holds only what was committed. A cache that may be
// wrong is replaced whole; see Store.forget.
type cache struct {
	mu       sync.Mutex
	identity string // of the database it was read from; "" until loaded
	loaded   time.Time
	writeOut bool              // see writeOutSQL
	tables   map[string]*table // by profile
	nodes    map[telemetry.Node]int32
	epochs   map[epochID]int32
	runs     map[runID]run
}

type epochID struct {
	node  telemetry.Node
	epoch telemetry.Epoch
}

type runID struct {
	group, unit string
	born        int64 // µs
}

type run struct{ key, unit, profile int32 }

// maxCachedRuns bounds the cache; runs end and are not asked for again.
const maxCachedRuns = 100_000

func newCache() *cache {
	return &cache{
		nodes:  map[telemetry.Node]int32{},
		epochs: map[epochID]int32{},
		runs:   map[runID]run{},
	}
}

// table is a profile's readings in the database.
type table struct {
	key     int32
	profile *telemetry.Profile // its signals are the columns, in this order
	copySQL string
	moveSQL string // see attempt.recall

	mu      sync.Mutex
	days    map[int64]bool                 // partitions there are
	layouts map[*telemetry.Profile]*layout // how records of a profile lie in the columns
}

// load reads profiles and partitions once.
func (c *cache) load(ctx context.Context, s *Store) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.identity != "" {
		return nil
	}
	tables := map[string]*table{}
	writeOut := false
	t, err := s.begin(ctx, nil,
		call{
			sql: `SELECT profile_key, name, version, definition FROM profile`,
			row: func(v [][]byte) error {
				key, err := parseInt(v[0])
				if err != nil {
					return err
				}
				version, err := strconv.Atoi(string(v[2]))
				if err != nil {
					return err
				}
				p, err := undefine(string(v[1]), version, v[3])
				if err != nil {
					return err
				}
				tables[p.Name] = newTable(int32(key), p)
				return nil
			},
		},
		call{
			sql: `SELECT FROM pg_settings WHERE name = 'backend_flush_after' AND source = 'default' AND setting = '0'
 AND max_val <> '0' AND context = 'user'`,
			row: func([][]byte) error { writeOut = true; return nil },
		},
		call{
			sql: `SELECT p.relname, c.relname FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
 JOIN pg_class c ON c.oid = i.inhrelid WHERE p.relname LIKE 'reading\_%' AND p.relkind = 'p'
 AND pg_table_is_visible(p.oid)`,
			row: func(v [][]byte) error {
				if tab := tables[strings.TrimPrefix(string(v[0]), "reading_")]; tab != nil {
					if day, ok := dayOfPartition(tab.profile.Name, string(v[1])); ok {
						tab.days[day] = true
					}
				}
				return nil
			},
		})
	if err != nil {
		return err
	}
	t.rollback()
	if err := s.identify(nil, t.identity); err != nil {
		return err
	}
	c.tables, c.identity, c.writeOut, c.loaded = tables, t.identity, writeOut, time.Now()
	return nil
}

func (c *cache) olderThan(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.loaded) > d
}

func newTable(key int32, p *telemetry.Profile) *table {
	return &table{
		key: key, profile: p,
		copySQL: fmt.Sprintf("COPY %s (%s%s) FROM STDIN (FORMAT binary)",
			quote(tableName(p.Name)), copyColumns, columnList(p, "")),
		moveSQL: fmt.Sprintf(`SELECT ts, quality%s FROM %s
 WHERE unit_key = $1::int AND ts = ANY($2::timestamptz[]) AND epoch_key <> $3::int`,
			columnList(p, ""), quote(tableName(p.Name))),
		days:    map[int64]bool{},
		layouts: map[*telemetry.Profile]*layout{},
	}
}

const usPerDay = int64(24 * time.Hour / time.Microsecond)

// dayOf is the day, counted from 1970 in UTC, that a time in µs falls on.
func dayOf(us int64) int64 {
	day := us / usPerDay
	if us%usPerDay < 0 {
		day--
	}
	return day
}

const dayFormat = "20060102"

// partitionName is the table of one day of a profile's readings.
func partitionName(profile string, day int64) string {
	return tableName(profile) + "_p" + time.UnixMicro(day*usPerDay).UTC().Format(dayFormat)
}

// dayOfPartition is the inverse of partitionName; false for a partition that is not ours.
func dayOfPartition(profile, name string) (int64, bool) {
	text, ok := strings.CutPrefix(name, tableName(profile)+"_p")
	if !ok {
		return 0, false
	}
	t, err := time.Parse(dayFormat, text)
	if err != nil {
		return 0, false
	}
	return dayOf(t.UnixMicro()), true
}
