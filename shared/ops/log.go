package ops

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// LogConfig is the part `log:` of a configuration. The zero value logs from info
// as text.
type LogConfig struct {
	Level  string `yaml:"level"`  // debug, info, warn or error; info
	Format string `yaml:"format"` // text or json; text
}

// Check reports a level or a format that does not exist.
func (c *LogConfig) Check() error {
	var errs []error
	if _, err := c.level(); err != nil {
		errs = append(errs, err)
	}
	if c.Format != "" && c.Format != "text" && c.Format != "json" {
		errs = append(errs, fmt.Errorf("format %q is none of text, json", c.Format))
	}
	return errors.Join(errs...)
}

func (c *LogConfig) level() (slog.Level, error) {
	switch strings.ToLower(c.Level) {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("level %q is none of debug, info, warn, error", c.Level)
}

// NewLogger returns a logger that writes lines to w. A fault that Check would
// report falls back to the default.
func NewLogger(w io.Writer, c LogConfig) *slog.Logger {
	level, _ := c.level()
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
