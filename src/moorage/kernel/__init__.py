"""One thin module per kernel facility: system calls with their own names, no policy.

Processes:    namespaces (clone3, unshare, setns), pidfd, signals, prctl, sched, personality
Privileges:   capabilities, rlimits, keyring, seccomp (load), libseccomp and
              seccomp_stub (compile), idmap
File systems: mount (by path), mount_fd (by descriptor), openat (paths that can't escape),
              xattr, reflink, statfs, inotify, memfd
Descriptors:  close_range, eventfd, terminal, bpf
All of them:  libc (the library, raw calls, errno to OSError)

Standard library only, and nothing slow to import: launcher, shim and runtime live here.
"""
