package factory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"andon.internal/lab/cable"
	"andon.internal/lab/process"
	"andon.internal/shared/ops"
)

// runner is a process of the factory, PostgreSQL included.
type runner interface {
	Start(ctx context.Context) error
	Stop() error
	Kill() error
	Status() process.Status
}

// daemon is one of the project's own processes.
type daemon struct{ *process.Process }

func (d daemon) Start(context.Context) error { return d.Process.Start() }

// member is a process with what there is to know about it.
type member struct {
	runner
	config, log string // files
	http        string // address of /healthz, /readyz and /metrics; "" for what has none
	netns       string // of its site
	mqtt        string // of a broker that is not ours
}

// Factory is a running factory. Its methods are safe for concurrent use.
type Factory struct {
	opt     Options
	db      *database
	broker  string             // its MQTT address
	pages   string             // address of the command center
	members map[string]*member // by name
	order   []string           // of names, in the order of the start
	cables  map[string]*cable.Cable
	ports   ports
}

// Start starts everything and returns when every process says that it is ready. On
// an error everything that was started is stopped again; the folder is left to the
// caller, because it may hold data of an earlier life.
func Start(ctx context.Context, o Options) (_ *Factory, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	f := &Factory{opt: o, members: map[string]*member{}, cables: map[string]*cable.Cable{}, ports: ports{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(true))
		}
	}()
	if err := f.startDatabase(ctx); err != nil {
		return nil, err
	}
	if o.DatabaseOnly {
		return f, nil
	}
	if err := f.certify(ctx); err != nil {
		return nil, err
	}
	if err := f.startBrokerAndCollector(ctx); err != nil {
		return nil, err
	}
	for i, c := range o.Cells {
		if err := f.addCell(i, c); err != nil {
			return nil, err
		}
		if !o.Idle {
			if err := f.members[c.Name].Start(ctx); err != nil {
				return nil, err
			}
		}
	}
	if o.Idle {
		return f, f.awaitReady(ctx, append([]string{Broker}, o.collectors()...)...)
	}
	return f, f.awaitReady(ctx, f.order[1:]...)
}

func (f *Factory) join(name string, m *member) {
	f.members[name] = m
	f.order = append(f.order, name)
}

func (f *Factory) startBrokerAndCollector(ctx context.Context) error {
	port, err := f.ports.take(f.opt.BrokerPort)
	if err != nil {
		return err
	}
	f.broker = address(f.opt.host(Broker), port)
	if f.opt.Mosquitto != "" {
		err = f.addMosquitto()
	} else {
		err = f.add(Broker, "andon-broker", 1, func(_, http string) doc { return brokerConfig(f.broker, http, f.certificate("broker")) })
	}
	if err != nil {
		return err
	}
	if port, err = f.ports.take(f.opt.PagesPort); err != nil {
		return err
	}
	f.pages = address(loopback, port)
	names := f.opt.collectors()
	if err := f.addCollectors(names); err != nil {
		return err
	}
	if err := f.members[Broker].Start(ctx); err != nil {
		return err
	}
	if err := f.migrate(ctx, f.members[names[0]].config); err != nil {
		return err
	}
	for _, name := range names {
		if err := f.members[name].Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// addCollectors prepares the one collector, or one for each role.
func (f *Factory) addCollectors(names []string) error {
	for i, name := range names {
		var roles []string
		if f.opt.Split {
			roles = []string{name}
		}
		nth := 0
		if i > 0 { // behind the cells
			nth = 1 + len(f.opt.Cells) + i
		}
		err := f.add(name, "andon-collector", nth, func(_, http string) doc {
			return collectorConfig(f.broker, f.DSN(), f.pages, http, f.certificate(Collector), roles...)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addCell lays a cell's cable and prepares its agent.
func (f *Factory) addCell(i int, c Cell) error {
	broker := f.broker
	site := f.opt.Sites[c.Name]
	if !f.opt.Direct && site.Netns == "" {
		port, err := f.ports.take(0)
		if err != nil {
			return err
		}
		if f.cables[c.Name], err = cable.Open(c.Name, address(loopback, port), f.broker); err != nil {
			return err
		}
		broker = f.cables[c.Name].Addr()
	}
	return f.add(c.Name, "andon-agent", 2+i, func(dir, http string) doc {
		return agentConfig(c, cmp.Or(site.Data, filepath.Join(dir, "data")), broker, http, f.certificate(c.Name))
	})
}

// add prepares one daemon. config is asked for its configuration and given its
// folder and its HTTP address; nth counts the HTTP ports from HTTPPort.
func (f *Factory) add(name, program string, nth int, config func(dir, http string) doc) error {
	wanted := 0
	if f.opt.HTTPPort != 0 {
		wanted = f.opt.HTTPPort + nth
	}
	port, err := f.ports.take(wanted)
	if err != nil {
		return err
	}
	dir := filepath.Join(f.opt.Dir, name)
	m := &member{
		config: filepath.Join(dir, "config.yaml"), http: address(loopback, port),
		log: filepath.Join(dir, "log.txt"), netns: f.opt.Sites[name].Netns,
	}
	if err := config(dir, m.http).write(m.config); err != nil {
		return err
	}
	m.runner = daemon{process.New(process.Spec{
		Name: name, Path: filepath.Join(f.opt.Bin, program), Args: []string{"run", "--config", m.config},
		Log: m.log, Netns: m.netns, Env: f.opt.Sites[name].Env, Report: f.report,
	})}
	f.join(name, m)
	return nil
}

// report tells of a daemon that exited by itself.
func (f *Factory) report(e process.Exit) {
	cause := "exit code 0"
	if e.Cause != nil {
		cause = e.Cause.Error()
	}
	f.opt.Logger.Warn("process exited and is started again", "process", e.Name, "pid", e.PID,
		"cause", cause, "pause", e.Restart, "last_words", e.Tail)
}

// Bin is the folder of the binaries in use.
func (f *Factory) Bin() string { return f.opt.Bin }

// Close stops everything against the flow: cells, collector, broker, PostgreSQL.
// Unless keep is true the folder is deleted. Close may be called on a factory that
// is only half there.
func (f *Factory) Close(keep bool) error {
	errs := make([]error, len(f.opt.Cells))
	var cells sync.WaitGroup
	for i, c := range f.opt.Cells {
		cells.Go(func() { errs[i] = f.stop(c.Name) })
	}
	cells.Wait()
	for _, name := range append(f.opt.collectors(), Broker) {
		errs = append(errs, f.stop(name))
	}
	for _, c := range f.cables {
		c.Close()
	}
	if f.db != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		errs = append(errs, f.db.close(ctx, keep))
	}
	if !keep {
		errs = append(errs, os.RemoveAll(f.opt.Dir))
	}
	return errors.Join(errs...)
}

func (f *Factory) stop(name string) error {
	m := f.members[name]
	if m == nil {
		return nil
	}
	return m.Stop()
}

// member returns a process by its name.
func (f *Factory) member(name string) (*member, error) {
	if m := f.members[name]; m != nil {
		return m, nil
	}
	return nil, ops.Hint(fmt.Errorf("there is no process %q", name), "there are: "+strings.Join(f.order, ", "))
}
