"""Run queues: one per core and container, as the kernel keeps them.

On a core the containers compete by weight (virtual runtime), and inside a container its tasks compete equally.
Source: kernel/sched/fair.c (group scheduling, EEVDF placement at the queue's average and its lag); simplified as
`docs/physics.md` says: at ticks deadlines are replaced by least virtual runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.physics.cpu import Task
    from sim.physics.quota import QuotaPool

# The weight of a task or container with default shares (kernel: NICE_0_LOAD).
DEFAULT_SHARES = 1024


class Group:
    """A container as the scheduler sees it: weight, allowed cores, quota pool, its queue on every core."""

    __slots__ = ("cores", "cpu_ns", "lag_ns_max", "name", "pool", "queues", "runnable_count", "shares")

    def __init__(self, name: str, shares: int, cores: tuple[int, ...], cores_count: int, lag_ns_max: int) -> None:
        """Have an empty queue on each of `cores_count` cores and no quota.

        Nobody in it is owed more than `lag_ns_max` of a task's virtual time, nor owes more.
        """
        self.name = name
        self.shares = shares
        self.lag_ns_max = lag_ns_max
        self.cores = cores
        self.pool: QuotaPool | None = None
        self.cpu_ns = 0
        self.runnable_count = 0
        self.queues = [GroupQueue(self, core) for core in range(cores_count)]


class GroupQueue:
    """A container's runnable tasks on one core, the running one among them."""

    __slots__ = ("core", "group", "lag_ns", "runtime_ns", "tasks", "throttled", "throttled_since_ns", "vruntime_ns")

    def __init__(self, group: Group, core: int) -> None:
        """Be empty, with no runtime drawn yet."""
        self.group = group
        self.core = core
        self.tasks: list[Task] = []
        self.runtime_ns = 0
        self.vruntime_ns = 0
        self.lag_ns = 0
        self.throttled = False
        self.throttled_since_ns: int | None = None

    @property
    def weight(self) -> float:
        """The container's shares times the fraction of its runnable tasks that are on this core."""
        total = self.group.runnable_count
        return self.group.shares * (len(self.tasks) / total) if total else float(self.group.shares)

    def first(self, current: Task | None) -> Task:
        """The task that has run least; of those that are level the first to come, and the current one last."""
        tasks = self.tasks
        if len(tasks) == 1:
            return tasks[0]
        return min(tasks, key=lambda task: (task.vruntime_ns, task is current))

    def place(self, task: Task) -> None:
        """Add a task where it is owed what it was owed when it left: behind the average of those present by that."""
        count = len(self.tasks)
        if count:
            # It moves the average itself.
            task.vruntime_ns = self.average_ns() - task.lag_ns * (count + 1) // count
        else:
            task.vruntime_ns = 0
        self.tasks.append(task)

    def take(self, task: Task, *, sleeps: bool) -> None:
        """Take a task off and note what it is owed; who sleeps while it owes stays queued for so long, in effect."""
        task.lag_ns = self.kept_lag_ns(self.average_ns() - task.vruntime_ns, DEFAULT_SHARES, sleeps=sleeps)
        self.tasks.remove(task)

    def average_ns(self) -> int:
        """The virtual runtime of its tasks."""
        return sum(task.vruntime_ns for task in self.tasks) // len(self.tasks)

    def kept_lag_ns(self, lag_ns: float, weight: float, *, sleeps: bool) -> int:
        """What is remembered of a lag until the one who has it comes back."""
        most_ns = int(self.group.lag_ns_max * DEFAULT_SHARES / weight)
        return max(0 if sleeps else -most_ns, min(int(lag_ns), most_ns))


class Core:
    """One CPU: who runs on it since when, which containers have runnable tasks there, and whether it looks in vain.

    The slices of the running task and of its container's queue began at `picked_ns` and `queue_picked_ns`;
    `queue_renewed` says whether the latter had the core before; `empty_tries_count` is at how many ticks in a
    row, the last of them `tried_ns`, the core found nothing to fetch.
    """

    __slots__ = (
        *("current", "empty_tries_count", "index", "picked_ns", "queue_picked_ns", "queue_renewed"),
        *("queues", "running", "since_ns", "token", "tried_ns"),
    )

    def __init__(self, index: int) -> None:
        """Be idle."""
        self.index = index
        self.queues: list[GroupQueue] = []
        self.current: Task | None = None
        self.running: GroupQueue | None = None
        self.since_ns = 0
        self.picked_ns = 0
        self.queue_picked_ns = 0
        self.queue_renewed = False
        self.empty_tries_count = 0
        self.tried_ns = -1
        self.token = 0

    @property
    def idle(self) -> bool:
        """Whether nothing can run here now; tasks of a container that stands still do not count."""
        return not self.queues

    def runnable_count(self) -> int:
        """How many tasks could run here now."""
        return sum(len(queue.tasks) for queue in self.queues)

    def join(self, queue: GroupQueue) -> None:
        """Let a container's queue compete here, placed as tasks are, but by weight."""
        if self.queues:
            weight = sum(other.weight for other in self.queues)
            lag_ns = queue.lag_ns * (weight + queue.weight) / weight
            queue.vruntime_ns = int(self.average_ns() - lag_ns)
        self.queues.append(queue)

    def leave(self, queue: GroupQueue, *, sleeps: bool) -> None:
        """Let a container's queue compete no more, and note what it is owed."""
        queue.lag_ns = queue.kept_lag_ns(self.average_ns() - queue.vruntime_ns, queue.weight, sleeps=sleeps)
        self.queues.remove(queue)

    def average_ns(self) -> float:
        """The virtual runtime of all that compete here, by weight."""
        weight = sum(queue.weight for queue in self.queues)
        return sum(queue.vruntime_ns * queue.weight for queue in self.queues) / weight if weight else 0.0

    def best(self) -> GroupQueue:
        """The queue with the least virtual runtime; of those that are level the first to come, the running one last."""
        queues = self.queues
        if len(queues) == 1:
            return queues[0]
        return min(queues, key=lambda queue: (queue.vruntime_ns, queue is self.running))
