"""Turning admitted work into attempts: queue port, worker, executor, rescuer, ticker."""
