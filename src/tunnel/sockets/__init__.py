"""What adapters on asyncio and uvloop have in common: doors, and ends of tasks. Knows no adapter and nothing above."""
