import org.apache.cassandra.utils.Clock;

/** A clock of Cassandra's that is ahead by the milliseconds in the system property `ahead`. */
public class ShiftedClock implements Clock {
    private final long ahead = Long.getLong("ahead");

    @Override
    public long nanoTime() {
        return System.nanoTime();
    }

    @Override
    public long currentTimeMillis() {
        return System.currentTimeMillis() + ahead;
    }
}
